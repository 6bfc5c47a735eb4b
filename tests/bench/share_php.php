<?php
// PHP's System V functions, as a peer: share_php.php queue KEY SIZE both|push|pop|ask|answer, or share_php.php counter KEY

const FORTH = 1, BACK = 2;

function push(SysvMessageQueue $queue, int $type, string $message): void
{
    if (!msg_send($queue, $type, $message, false)) {
        exit(1);
    }
}

function pop(SysvMessageQueue $queue, int $type, int $size): void
{
    if (!msg_receive($queue, $type, $got, $size, $message, false)) {
        exit(1);
    }
}

function messages(int $key, int $size, string $role): Closure
{
    $queue = msg_get_queue($key);
    $message = str_repeat('x', $size);
    return match ($role) {
        'both' => function () use ($queue, $size, $message) {
            push($queue, FORTH, $message);
            pop($queue, 0, $size);
        },
        'push' => fn() => push($queue, FORTH, $message),
        'pop' => fn() => pop($queue, 0, $size),
        'ask' => function () use ($queue, $size, $message) {
            push($queue, FORTH, $message);
            pop($queue, BACK, $size);
        },
        'answer' => function () use ($queue, $size, $message) {
            pop($queue, FORTH, $size);
            push($queue, BACK, $message);
        },
    };
}

function counter(int $key): Closure
{
    $lock = sem_get($key);
    sem_acquire($lock);
    $memory = shm_attach($key, 1024, 0600);
    if (!shm_has_var($memory, 1)) {
        shm_put_var($memory, 1, 0);
    }
    sem_release($lock);
    return function () use ($lock, $memory) {
        sem_acquire($lock);
        shm_put_var($memory, 1, shm_get_var($memory, 1) + 1);
        sem_release($lock);
    };
}

if (!function_exists('msg_send') || !function_exists('sem_get') || !function_exists('shm_attach')) {
    exit("absent\n");
}
$once = $argv[1] === 'queue' ? messages((int) $argv[2], (int) $argv[3], $argv[4]) : counter((int) $argv[2]);
echo "ready\n";
while (($line = fgets(STDIN)) !== false) {
    for ($i = (int) $line; $i > 0; $i--) {
        $once();
    }
    echo $line;
}

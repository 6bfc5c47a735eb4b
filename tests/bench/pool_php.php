<?php
// A prefork server in PHP, as a peer: pool_php.php PATH WORKERS REQUESTS, so many over a connection

function serve(Socket $listener, int $most, int $parent): void
{
    while (posix_getppid() === $parent) {
        $client = @socket_accept($listener); // in vain after a second
        if ($client === false) {
            continue;
        }
        socket_set_option($client, SOL_SOCKET, SO_RCVTIMEO, ['sec' => 60, 'usec' => 0]);
        for ($i = 0; $i < $most && ($frame = socket_read($client, 4096)) != ''; $i++) {
            socket_write($client, $frame);
        }
        socket_close($client);
    }
}

if (!function_exists('pcntl_fork') || !function_exists('socket_accept') || !function_exists('posix_getppid')) {
    exit("absent\n");
}
[, $path, $workers, $most] = $argv;
$listener = socket_create(AF_UNIX, SOCK_STREAM, 0);
if (!socket_bind($listener, $path) || !socket_listen($listener, 128)) {
    exit(1);
}
socket_set_option($listener, SOL_SOCKET, SO_RCVTIMEO, ['sec' => 1, 'usec' => 0]);
pcntl_sigprocmask(SIG_BLOCK, [SIGTERM]);
$parent = getmypid();
$children = [];
for ($i = 0; $i < (int) $workers; $i++) {
    $child = pcntl_fork();
    if ($child === 0) {
        serve($listener, (int) $most, $parent);
        posix_kill(getmypid(), SIGKILL); // not exit: what runs there is the parent's
    }
    $children[] = $child;
}
echo "ready\n";
pcntl_sigwaitinfo([SIGTERM]);
foreach ($children as $child) {
    posix_kill($child, SIGKILL);
}

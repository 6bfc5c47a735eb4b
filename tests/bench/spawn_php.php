<?php
// PHP's pcntl, as a peer: spawn_php.php TINY MIB

function spawn(string $program): int
{
    $start = hrtime(true);
    $pid = pcntl_fork();
    if ($pid === 0) {
        pcntl_exec($program);
        posix_kill(getmypid(), SIGKILL); // not exit: what runs there is the parent's
    }
    if ($pid < 0 || pcntl_waitpid($pid, $status) !== $pid || $status !== 0) {
        exit(1);
    }
    return hrtime(true) - $start;
}

if (!function_exists('pcntl_fork')) {
    exit("absent\n");
}
$held = str_repeat("\1", (int) $argv[2] << 20);
echo "ready\n";
while (($line = fgets(STDIN)) !== false) {
    $times = [];
    for ($i = 0; $i < (int) $line; $i++) {
        $times[] = spawn($argv[1]);
    }
    sort($times);
    echo $times[intdiv(count($times), 2)], "\n";
}

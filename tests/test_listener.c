/* Sockets that listen: addresses, and the files of unix sockets. */
#include "clients.h"
#include "listener.h"
#include "seam.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static struct listener listener;

static const char *unix_address(const char *name)
{
    static char addresses[4][PATH_MAX];
    static unsigned next;
    char *address = addresses[next++ % 4];

    snprintf(address, PATH_MAX, "unix:%s", temporary(name));
    return address;
}

static void must_open(const char *address)
{
    ck_assert_msg(listener_open(&listener, address) == 0, "%s: %s", address, strerror(errno));
}

static void must_not_open(const char *address, int failure)
{
    struct listener none = {.fd = 99};

    ck_assert_int_eq(listener_open(&none, address), -1);
    ck_assert_msg(errno == failure, "%s: %s", address, strerror(errno));
    ck_assert_int_eq(none.fd, -1);
    ck_assert_int_eq(none.port, -1);
    ck_assert_ptr_null(none.path);
}

static void must_be_served(const char *address)
{
    int client = client_connect(address);
    int server = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);

    ck_assert_msg(server >= 0, "accept: %s", strerror(errno));
    close(server);
    close(client);
}

/* How many files there are in the test's directory. */
static int files(void)
{
    DIR *listing = opendir(temporary(""));
    int count = 0;

    for (struct dirent *entry; (entry = readdir(listing));)
        count += entry->d_name[0] != '.';
    closedir(listing);
    return count;
}

/* A socket whose owner is gone. */
static void make_stale(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

/* ---- addresses ---- */

START_TEST(well_formed_addresses_are_understood)
{
    const char *const good[] = {"unix:/run/app.sock", "unix:app.sock", "unix:a:b", "tcp:127.0.0.1:80", "tcp:0.0.0.0:0",
                                "tcp:*:1", "tcp::1", "tcp:localhost:65535", "tcp:[::1]:9933", "tcp:[::]:0",
                                "tcp:[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:00080"};
    const char *const bad[] = {"", "unix", "unix:", "unix:/run/", "/run/app.sock", "tcp:", "tcp:80", "tcp:127.0.0.1",
                               "tcp:127.0.0.1:",
                               "tcp:127.0.0.1:65536", "tcp:127.0.0.1:-1", "tcp:127.0.0.1:+1", "tcp:127.0.0.1: 1",
                               "tcp:127.0.0.1:1x", "tcp:127.0.0.1:99999999999999999999", "tcp:example.org:80", "tcp:127.1:80",
                               "tcp:::1:80", "tcp:[::1]80", "tcp:[::1]", "tcp:[::1:80", "tcp:[127.0.0.1]:80", "tcp:[]:80",
                               "tcp:[:80", "tcp:]:80", "udp:127.0.0.1:80", "TCP:127.0.0.1:80", " tcp:127.0.0.1:80",
                               "tcp:127.0.0.1000000000000000000000000000000000000000000000000000000000000000000:80"};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(listener_understands(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!listener_understands(bad[i]), "%s", bad[i]);
        must_not_open(bad[i], EINVAL);
    }
}
END_TEST

START_TEST(a_tcp_port_may_be_chosen_by_the_kernel)
{
    const char *const addresses[][2] = {{"tcp:127.0.0.1:0", "127.0.0.1"}, {"tcp:localhost:0", "127.0.0.1"},
                                        {"tcp:*:0", "127.0.0.1"},
                                        {"tcp::0", "127.0.0.1"}, {"tcp:[::1]:0", "[::1]"}, {"tcp:[::]:0", "[::1]"}};
    char address[64];

    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        if (listener_open(&listener, addresses[i][0]) < 0 && addresses[i][1][0] == '[') {
            skip("there is no IPv6 here");
            continue;
        }
        ck_assert_int_gt(listener.port, 0);
        ck_assert_ptr_null(listener.path);
        snprintf(address, sizeof address, "tcp:%s:%d", addresses[i][1], listener.port);
        must_be_served(address);
        must_not_open(address, EADDRINUSE);
        int port = listener.port;
        listener_close(&listener);
        must_open(address); /* though there are connections of the last one left */
        ck_assert_int_eq(listener.port, port);
        listener_close(&listener);
    }
}
END_TEST

START_TEST(an_address_of_another_machine_is_not_available)
{
    must_not_open("tcp:192.0.2.1:0", EADDRNOTAVAIL);
}
END_TEST

START_TEST(the_socket_does_not_block_and_is_not_inherited_by_programs)
{
    const char *const addresses[] = {unix_address("socket"), "tcp:127.0.0.1:0"};

    for (int i = 0; i < 2; i++) {
        int in = dup(0), out = dup(1);

        close(0);
        close(1);
        int result = listener_open(&listener, addresses[i]);
        dup2(in, 0);
        dup2(out, 1);
        close(in);
        close(out);
        ck_assert_int_eq(result, 0);
        ck_assert_int_gt(listener.fd, 2);
        ck_assert(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC);
        ck_assert(fcntl(listener.fd, F_GETFL) & O_NONBLOCK);
        listener_close(&listener);
        ck_assert_int_eq(listener.fd, -1);
    }
}
END_TEST

START_TEST(connections_do_not_wait_to_send)
{
    char address[64];
    int on = 0;
    socklen_t size = sizeof on;

    must_open("tcp:127.0.0.1:0");
    snprintf(address, sizeof address, "tcp:127.0.0.1:%d", listener.port);
    int client = client_connect(address), server = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_eq(getsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    ck_assert_int_ne(on, 0);
    close(client);
    close(server);
    listener_close(&listener);
}
END_TEST

/* ---- the file of a unix socket ---- */

START_TEST(the_file_is_there_until_the_owner_closes)
{
    struct stat status;

    must_open(unix_address("socket"));
    ck_assert_str_eq(listener.path, temporary("socket"));
    ck_assert_int_eq(listener.port, -1);
    ck_assert_int_eq(lstat(listener.path, &status), 0);
    ck_assert(S_ISSOCK(status.st_mode));
    ck_assert_uint_eq(status.st_ino, listener.inode);
    ck_assert_uint_eq(status.st_dev, listener.device);
    ck_assert_int_eq(listener.owner, getpid());
    must_be_served(unix_address("socket"));
    ck_assert_int_eq(files(), 1);
    errno = 77;
    listener_close(&listener);
    ck_assert_int_eq(errno, 77);
    ck_assert_int_eq(files(), 0);
}
END_TEST

START_TEST(a_relative_path_is_made_absolute)
{
    char here[PATH_MAX];

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(temporary("")), 0);
    must_open("unix:socket");
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_str_eq(listener.path, temporary("socket"));
    must_be_served(unix_address("socket"));
    listener_close(&listener);
    ck_assert_int_eq(files(), 0);
    must_open("unix:tmp/../tmp/libproc-test-socket");
    ck_assert_str_eq(listener.path, "/tmp/../tmp/libproc-test-socket");
    listener_close(&listener);
    ck_assert_int_eq(chdir(here), 0);
}
END_TEST

static const char *path_of_length(size_t length)
{
    static char address[256];
    int start = snprintf(address, sizeof address, "%s/", unix_address(""));

    memset(address + start, 'x', sizeof address - (size_t)start);
    address[5 + length] = '\0';
    return address;
}

START_TEST(a_path_may_be_as_long_as_an_address)
{
    for (size_t length = 105; length < 108; length++)
        for (int round = 0; round < 2; round++) {
            const char *address = path_of_length(length);

            if (round)
                make_stale(address + 5, SOCK_STREAM);
            must_open(address);
            ck_assert_uint_eq(strlen(listener.path), length);
            must_be_served(address);
            ck_assert_int_eq(files(), 1);
            listener_close(&listener);
            ck_assert_int_eq(files(), 0);
        }
    must_not_open(path_of_length(108), EINVAL);
    char relative[128];
    ck_assert_int_eq(chdir(temporary("")), 0);
    snprintf(relative, sizeof relative, "unix:%0107d", 0);
    must_not_open(relative, ENAMETOOLONG);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_enoent)
{
    char address[PATH_MAX];

    snprintf(address, sizeof address, "%s/socket", unix_address("none"));
    must_not_open(address, ENOENT);
    close(open(temporary("file"), O_CREAT | O_CLOEXEC, 0600));
    snprintf(address, sizeof address, "%s/socket", unix_address("file"));
    must_not_open(address, ENOTDIR);
}
END_TEST

static int try_as_another(struct proc *self, void *address)
{
    (void)self;
    if (setresuid(65534, 65534, 65534) < 0)
        return 1;
    return listener_open(&listener, address) == -1 && errno == EACCES ? 0 : 2;
}

START_TEST(a_directory_of_somebody_else_is_eacces)
{
    if (geteuid() != 0) {
        skip("to become another user takes root");
        return;
    }
    struct proc_options options = {.main = try_as_another, .arg = (void *)(uintptr_t)unix_address("socket")};
    ck_assert_int_eq(must_end(must_spawn(options)).code, 0);
    make_stale(temporary("socket"), SOCK_STREAM);
    ck_assert_int_eq(must_end(must_spawn(options)).code, 0);
    ck_assert_int_eq(files(), 1);
}
END_TEST

START_TEST(what_is_served_is_left_alone)
{
    const char *address = unix_address("socket");

    must_open(address);
    must_not_open(address, EADDRINUSE);
    int client = client_connect(address);
    must_not_open(address, EADDRINUSE);
    close(client);
    ck_assert_int_eq(files(), 1);
    listener_close(&listener);
}
END_TEST

START_TEST(a_server_of_another_type_is_left_alone)
{
    const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET};

    for (int i = 0; i < 2; i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof address.sun_path, "%s", temporary("socket"));
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        if (types[i] == SOCK_SEQPACKET)
            ck_assert_int_eq(listen(fd, 1), 0);
        must_not_open(unix_address("socket"), EADDRINUSE);
        ck_assert_int_eq(files(), 1);
        close(fd);
        unlink(address.sun_path);
        make_stale(address.sun_path, types[i]);
        must_open(unix_address("socket"));
        must_be_served(unix_address("socket"));
        listener_close(&listener);
        ck_assert_int_eq(files(), 0);
    }
}
END_TEST

START_TEST(what_is_no_socket_is_left_alone)
{
    const char *path = temporary("socket");

    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    must_not_open(unix_address("socket"), EADDRINUSE);
    ck_assert_str_eq(contents_of(path), "");
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    must_not_open(unix_address("socket"), EADDRINUSE);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(symlink("elsewhere", path), 0);
    must_not_open(unix_address("socket"), EADDRINUSE);
    make_stale(temporary("elsewhere"), SOCK_STREAM);
    must_not_open(unix_address("socket"), EADDRINUSE);
    ck_assert_int_eq(files(), 2);
}
END_TEST

static _Atomic bool *is_over;

static int watch_path(struct proc *self, void *path)
{
    struct stat status;

    (void)self;
    while (!*is_over)
        if (lstat(path, &status) < 0)
            return 1;
    return 0;
}

START_TEST(a_stale_socket_is_replaced_and_never_missing)
{
    const char *path = temporary("socket");

    is_over = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    make_stale(path, SOCK_STREAM);
    struct proc *watcher = must_spawn((struct proc_options){.main = watch_path, .arg = (void *)(uintptr_t)path});
    for (int i = 0; i < (runs_shortened() ? 20 : 300); i++) {
        must_open(unix_address("socket"));
        must_be_served(unix_address("socket"));
        ck_assert_int_eq(files(), 1);
        listener.owner = 0; /* as if it had died */
        listener_close(&listener);
    }
    *is_over = true;
    ck_assert_int_eq(must_end(watcher).code, 0);
    munmap((void *)(uintptr_t)is_over, 4096);
}
END_TEST

static int gate[2];

/* 10: it got it; 20: it was in use. Both wait until all have tried. */
static int open_at_once(struct proc *self, void *address)
{
    char byte;

    close(gate[1]);
    if (read(gate[0], &byte, 1) != 0)
        return 1;
    int result = listener_open(&listener, address);
    if (result < 0)
        return errno == EADDRINUSE ? 20 : 2;
    if (write(proc_fd(self), "", 1) != 1 || read(proc_fd(self), &byte, 1) < 0)
        return 3;
    listener.owner = 0;
    return 10;
}

START_TEST(of_several_that_start_at_once_one_wins)
{
    const char *address = unix_address("socket");

    for (int round = 0; round < (runs_shortened() ? 20 : 200); round++) {
        struct proc *children[4];
        int won = 0, lost = 0;

        ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
        for (int i = 0; i < 4; i++)
            children[i] = must_spawn(
                (struct proc_options){.main = open_at_once, .arg = (void *)(uintptr_t)address, .channel = PROC_STREAM});
        close(gate[0]);
        close(gate[1]);
        for (int i = 0; i < 4; i++) {
            char byte;

            won += read(proc_fd(children[i]), &byte, 1) == 1; /* or it has ended */
        }
        close(client_connect(address));
        for (int i = 0; i < 4; i++) {
            shutdown(proc_fd(children[i]), SHUT_WR);
            lost += must_end(children[i]).code == 20;
        }
        ck_assert_int_eq(won, 1);
        ck_assert_int_eq(lost, 3);
        ck_assert_int_eq(files(), 1);
    }
}
END_TEST

/* ---- whose it is ---- */

static int close_in_child(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    listener_close(&listener);
    return 0;
}

START_TEST(a_forked_child_does_not_remove_it)
{
    must_open(unix_address("socket"));
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = close_in_child})).code, 0);
    must_be_served(unix_address("socket"));
    listener_close(&listener);
    ck_assert_int_eq(files(), 0);
}
END_TEST

START_TEST(what_has_taken_its_place_is_not_removed)
{
    must_open(unix_address("socket"));
    ck_assert_int_eq(unlink(temporary("socket")), 0);
    make_stale(temporary("socket"), SOCK_STREAM);
    listener_close(&listener);
    ck_assert_int_eq(files(), 1);
    must_open(unix_address("socket"));
    ck_assert_int_eq(unlink(temporary("socket")), 0);
    listener_close(&listener);
}
END_TEST

/* ---- failures ---- */

START_TEST(a_failure_leaves_nothing)
{
    long held = seam_memory_held();

    const long calls[] = {SYS_socket, SYS_bind, SYS_listen, SYS_openat, SYS_flock, SYS_newfstatat};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        seam_fail(calls[i], 1, EIO);
        must_not_open(unix_address("socket"), EIO);
        ck_assert(seam_end());
        ck_assert_int_eq(files(), 0);
    }
    const long stale_calls[] = {SYS_socket, SYS_bind, SYS_listen, SYS_openat, SYS_flock, SYS_newfstatat, SYS_renameat2};
    make_stale(temporary("socket"), SOCK_STREAM);
    for (size_t i = 0; i < sizeof stale_calls / sizeof *stale_calls; i++) {
        seam_fail(stale_calls[i], 1, EIO);
        must_not_open(unix_address("socket"), EIO);
        ck_assert(seam_end());
        ck_assert_int_eq(files(), 1);
    }
    const long tcp_calls[] = {SYS_socket, SYS_setsockopt, SYS_bind, SYS_listen, SYS_getsockname};
    for (size_t i = 0; i < sizeof tcp_calls / sizeof *tcp_calls; i++) {
        seam_fail(tcp_calls[i], 1, EIO);
        must_not_open("tcp:127.0.0.1:0", EIO);
        ck_assert(seam_end());
    }
    seam_fail_memory(1);
    must_not_open(unix_address("socket"), ENOMEM);
    ck_assert(seam_end_memory());
    ck_assert_int_eq(seam_memory_held(), held);
}
END_TEST

static int die_at_renaming(struct proc *self, void *address)
{
    struct sockaddr_un beside = {.sun_family = AF_UNIX};

    (void)self;
    snprintf(beside.sun_path, sizeof beside.sun_path, "%s~", (char *)address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&beside, sizeof beside) < 0 || listen(fd, 1) < 0)
        return 1;
    raise(SIGKILL);
    return 2;
}

START_TEST(what_somebody_left_who_was_killed_half_way_is_removed)
{
    const char *address = unix_address("socket");

    for (int with_stale = 0; with_stale < 2; with_stale++) {
        if (with_stale)
            make_stale(temporary("socket"), SOCK_STREAM);
        struct proc *dying = must_spawn((struct proc_options){.main = die_at_renaming, .arg = (void *)(uintptr_t)address});
        ck_assert_int_eq(must_end(dying).signal, SIGKILL);
        ck_assert_int_eq(files(), 1 + with_stale);
        must_open(address);
        must_be_served(address);
        ck_assert_int_eq(files(), 1);
        listener_close(&listener);
        ck_assert_int_eq(files(), 0);
    }
}
END_TEST

START_TEST(a_file_beside_it_is_left_alone)
{
    close(open(temporary("socket~"), O_CREAT | O_CLOEXEC, 0600));
    must_open(unix_address("socket"));
    listener_close(&listener);
    make_stale(temporary("socket"), SOCK_STREAM);
    must_not_open(unix_address("socket"), EADDRINUSE);
    ck_assert_int_eq(files(), 2);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("listener");
    TCase *addresses = tcase_checked(suite, "addresses");
    TCase *file = tcase_checked(suite, "files");
    TCase *failures = tcase_checked(suite, "failures");

    tcase_add_test(addresses, well_formed_addresses_are_understood);
    tcase_add_test(addresses, a_tcp_port_may_be_chosen_by_the_kernel);
    tcase_add_test(addresses, an_address_of_another_machine_is_not_available);
    tcase_add_test(addresses, the_socket_does_not_block_and_is_not_inherited_by_programs);
    tcase_add_test(addresses, connections_do_not_wait_to_send);
    tcase_add_test(file, the_file_is_there_until_the_owner_closes);
    tcase_add_test(file, a_relative_path_is_made_absolute);
    tcase_add_test(file, a_path_may_be_as_long_as_an_address);
    tcase_add_test(file, a_directory_that_is_not_there_is_enoent);
    tcase_add_test(file, a_directory_of_somebody_else_is_eacces);
    tcase_add_test(file, what_is_served_is_left_alone);
    tcase_add_test(file, a_server_of_another_type_is_left_alone);
    tcase_add_test(file, what_is_no_socket_is_left_alone);
    tcase_add_test(file, a_stale_socket_is_replaced_and_never_missing);
    tcase_add_test(file, of_several_that_start_at_once_one_wins);
    tcase_add_test(file, a_forked_child_does_not_remove_it);
    tcase_add_test(file, what_has_taken_its_place_is_not_removed);
    tcase_add_test(failures, a_failure_leaves_nothing);
    tcase_add_test(failures, what_somebody_left_who_was_killed_half_way_is_removed);
    tcase_add_test(failures, a_file_beside_it_is_left_alone);
    return suite;
}

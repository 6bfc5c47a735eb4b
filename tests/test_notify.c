/* What a supervisor hears. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int supervisor = -1;

/* name: a path, or one of no file after "@". */
static void listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);

    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    supervisor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(supervisor, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
    ck_assert_int_eq(bind(supervisor, (struct sockaddr *)&address, size), 0);
    setenv("NOTIFY_SOCKET", name, 1);
}

/* What was said, and by whom. */
static const char *heard(pid_t *by)
{
    static char text[1000];
    char control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec data = {text, sizeof text - 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(supervisor, &message, MSG_DONTWAIT);

    ck_assert_int_ge(size, 0);
    text[size] = '\0';
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    ck_assert_ptr_nonnull(header);
    *by = ((struct ucred *)(void *)CMSG_DATA(header))->pid;
    return text;
}

static void tear_down(void)
{
    unsetenv("NOTIFY_SOCKET");
    close(supervisor);
    supervisor = -1;
}

START_TEST(a_supervisor_hears_it_and_from_whom)
{
    const char *names[] = {temporary("socket"), "@libproc-test-notify"};
    pid_t by = 0;

    for (int i = 0; i < 2; i++) {
        char name[100];

        snprintf(name, sizeof name, i ? "%s-%d" : "%s", names[i], (int)getpid());
        listen_at(name);
        ck_assert_int_eq(proc_notify("READY=1\nSTATUS=at work"), 1);
        ck_assert_str_eq(heard(&by), "READY=1\nSTATUS=at work");
        ck_assert_int_eq(by, getpid());
        tear_down();
    }
}
END_TEST

START_TEST(where_nobody_listens_nothing_happens)
{
    unsetenv("NOTIFY_SOCKET");
    long before = seam_calls();
    ck_assert_int_eq(proc_notify("READY=1"), 0);
    ck_assert_int_eq(seam_calls(), before);
    setenv("NOTIFY_SOCKET", "", 1);
    ck_assert_int_eq(proc_notify("READY=1"), 0);
    setenv("NOTIFY_SOCKET", temporary("none"), 1);
    ck_assert_int_eq(proc_notify("READY=1"), 0);
    listen_at(temporary("socket"));
    close(supervisor); /* the file stays */
    ck_assert_int_eq(proc_notify("READY=1"), 0);
}
END_TEST

static void must_fail(const char *state, int failure)
{
    ck_assert_int_eq(proc_notify(state), -1);
    ck_assert_msg(errno == failure, "%s", strerror(errno));
}

START_TEST(what_cannot_be_is_refused)
{
    static char long_name[200], long_text[1000000];

    must_fail(NULL, EINVAL);
    must_fail("", EINVAL);
    setenv("NOTIFY_SOCKET", "relative", 1);
    must_fail("READY=1", EINVAL);
    setenv("NOTIFY_SOCKET", "@", 1);
    must_fail("READY=1", EINVAL);
    memset(long_name, '/', sizeof long_name - 1);
    setenv("NOTIFY_SOCKET", long_name, 1);
    must_fail("READY=1", EINVAL);
    listen_at(temporary("socket"));
    memset(long_text, 'x', sizeof long_text - 1);
    must_fail(long_text, EMSGSIZE);
}
END_TEST

static int notify_as_nobody(struct proc *self, void *unused)
{
    (void)self, (void)unused;
    return setuid(65534) == 0 && proc_notify("READY=1") == -1 && errno == EACCES ? 0 : 1;
}

START_TEST(permissions_are_heeded)
{
    if (geteuid() != 0) {
        skip("no other user: this needs root");
        return;
    }
    listen_at(temporary("socket"));
    ck_assert_int_eq(must_end(must_spawn((struct proc_options){.main = notify_as_nobody})).code, 0);
}
END_TEST

START_TEST(a_failure_leaves_nothing_open)
{
    static const long calls[] = {SYS_socket, SYS_sendto};

    listen_at(temporary("socket"));
    int before = fds_count();
    for (int i = 0; i < 2; i++) {
        seam_fail(calls[i], 1, ENOBUFS);
        must_fail("READY=1", ENOBUFS);
        ck_assert(seam_end());
        ck_assert_int_eq(fds_count(), before);
    }
    seam_fail(SYS_sendto, 1, EINTR);
    ck_assert_int_eq(proc_notify("READY=1"), 1);
    seam_end();
}
END_TEST

START_TEST(a_supervisor_that_does_not_listen_is_not_waited_for_for_ever)
{
    listen_at(temporary("socket"));
    seam_fail(SYS_sendto, 1, EAGAIN); /* what the kernel says then, after a while */
    must_fail("WATCHDOG=1", ETIMEDOUT);
    ck_assert(seam_end());
}
END_TEST

START_TEST(the_longest_address_is_one_that_a_socket_can_have)
{
    struct sockaddr_un address;
    char name[sizeof address.sun_path + 1] = "/nowhere/";

    memset(name + strlen(name), 'x', sizeof name - 1 - strlen(name));
    setenv("NOTIFY_SOCKET", name, 1); /* there would be no room for the NUL */
    must_fail("READY=1", EINVAL);
    name[sizeof address.sun_path - 1] = '\0';
    setenv("NOTIFY_SOCKET", name, 1);
    ck_assert_int_eq(proc_notify("READY=1"), 0);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("notify");
    TCase *tcase = tcase_checked(suite, "notify");

    tcase_add_checked_fixture(tcase, NULL, tear_down);
    tcase_add_test(tcase, a_supervisor_hears_it_and_from_whom);
    tcase_add_test(tcase, where_nobody_listens_nothing_happens);
    tcase_add_test(tcase, what_cannot_be_is_refused);
    tcase_add_test(tcase, permissions_are_heeded);
    tcase_add_test(tcase, a_failure_leaves_nothing_open);
    tcase_add_test(tcase, a_supervisor_that_does_not_listen_is_not_waited_for_for_ever);
    tcase_add_test(tcase, the_longest_address_is_one_that_a_socket_can_have);
    return suite;
}

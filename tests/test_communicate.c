/* Feeding and draining at once, to the end or to a limit. */
#include "harness.h"
#include "seam.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *pattern(size_t size)
{
    char *data = malloc(size + 1);

    for (size_t i = 0; i < size; i++)
        data[i] = (char)('a' + (i * 31 + i / 4096) % 26);
    data[size] = '\0';
    return data;
}

START_TEST(data_in_all_directions_does_not_deadlock)
{
    size_t size = runs_instrumented() ? 1 << 20 : 10 << 20;
    char *data = pattern(size);
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("head -c 10485760 /dev/zero >&2; cat")};

    ck_assert_int_eq(proc_run(&options, data, size, &output, -1), 1);
    ck_assert_uint_eq(output.out_size, size);
    ck_assert_int_eq(memcmp(output.out, data, size + 1), 0);
    ck_assert_uint_eq(output.err_size, 10485760);
    ck_assert_int_eq(output.err[output.err_size], 0);
    ck_assert(proc_exit_ok(&output.exit));
    proc_output_free(&output);
    free(data);
}
END_TEST

START_TEST(output_is_never_null_and_ends_in_a_nul)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("exit 3"), .err = PROC_FD(2)};

    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, -1), 1);
    ck_assert_str_eq(output.out, "");
    ck_assert_str_eq(output.err, "");
    ck_assert_uint_eq(output.out_size + output.err_size, 0);
    ck_assert_int_eq(output.exit.code, 3);
    proc_output_free(&output);
    ck_assert_ptr_null(output.out);
    proc_output_free(&output);
    proc_output_free(NULL);
}
END_TEST

START_TEST(without_output_what_comes_is_dropped)
{
    struct proc_options options = {.argv = SHELL("head -c 3000000 /dev/zero; echo err >&2")};

    ck_assert_int_eq(proc_run(&options, NULL, 0, NULL, -1), 1);
    struct proc *proc = must_spawn_shell((struct proc_options){.out = PROC_PIPE}, "head -c 3000000 /dev/zero; exit 4");
    ck_assert_int_eq(proc_communicate(proc, NULL, 0, NULL, -1), 1);
    ck_assert_int_eq(must_end(proc).code, 4);
}
END_TEST

START_TEST(run_without_input_gives_none)
{
    ck_assert_str_eq(output_of_shell((struct proc_options){0}, "cat; readlink /proc/self/fd/0"), "/dev/null\n");
}
END_TEST

START_TEST(a_child_that_does_not_want_its_input_is_no_error)
{
    size_t size = 4 << 20;
    char *data = pattern(size);
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("head -c 5; exit 2")};

    ck_assert_int_eq(proc_run(&options, data, size, &output, -1), 1);
    ck_assert_uint_eq(output.out_size, 5);
    ck_assert_int_eq(output.exit.code, 2);
    proc_output_free(&output);
    free(data);
}
END_TEST

START_TEST(a_grandchild_that_keeps_the_pipe_holds_nothing_up)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("sleep 50 & echo $!; head -c 100000 /dev/zero; exit 1")};

    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, 20000), 1);
    ck_assert_uint_gt(output.out_size, 100000);
    ck_assert_int_eq(output.exit.code, 1);
    kill(atoi(output.out), SIGKILL);
    proc_output_free(&output);
}
END_TEST

START_TEST(a_grandchild_that_goes_on_writing_holds_nothing_up_either)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("(while :; do echo more; done) 2>/dev/null & echo $!")};

    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, 20000), 1);
    ck_assert_int_eq(output.exit.code, 0);
    proc_output_free(&output); /* the grandchild ends by SIGPIPE */
}
END_TEST

START_TEST(a_child_that_closes_its_streams_is_waited_for)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("echo x; exec >&- 2>&-; sleep 0.05; exit 6")};

    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, 20000), 1);
    ck_assert_str_eq(output.out, "x\n");
    ck_assert_int_eq(output.exit.code, 6);
    proc_output_free(&output);
}
END_TEST

/* ---- time ---- */

START_TEST(communicate_goes_on_after_its_time_ran_out)
{
    struct proc_output output = {0};
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE, .out = PROC_PIPE},
                                         "echo first; kill -STOP $$; cat");
    size_t size = 3 << 20;
    char *data = pattern(size);

    ck_assert_int_eq(proc_communicate(proc, data, size - 3, &output, 0), 0);
    while (output.out_size < 6)
        ck_assert_int_eq(proc_communicate(proc, NULL, 0, &output, 10), 0);
    ck_assert_str_eq(output.out, "first\n");
    ck_assert(proc_running(proc));
    ck_assert_int_eq(proc_communicate(proc, data + size - 3, 3, &output, 10), 0); /* more input goes behind what is left */
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)proc_pid(proc), &info, WSTOPPED | WNOWAIT), 0);
    ck_assert_int_eq(proc_kill(proc, SIGCONT), 0);
    ck_assert_int_eq(proc_communicate(proc, NULL, 0, &output, 20000), 1);
    ck_assert_uint_eq(output.out_size, 6 + size);
    ck_assert_int_eq(memcmp(output.out + 6, data, size), 0);
    proc_output_free(&output);
    proc_free(proc);
    free(data);
}
END_TEST

START_TEST(input_that_was_never_taken_is_freed_with_the_child)
{
    size_t size = 3 << 20;
    char *data = pattern(size);
    struct proc_output output = {0};
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE}, "kill -STOP $$");
    long held = seam_memory_held();

    ck_assert_int_eq(proc_communicate(proc, data, size, &output, 10), 0);
    ck_assert_int_gt(seam_memory_held(), held);
    proc_output_free(&output);
    proc_free(proc);
    ck_assert_int_lt(seam_memory_held(), held);
    free(data);
}
END_TEST

START_TEST(run_stops_a_child_whose_time_is_up_and_keeps_what_came)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("echo kept; exec sleep 60")};

    int result = proc_run(&options, NULL, 0, &output, 300);
    ck_assert_int_eq(result, 0);
    ck_assert_str_eq(output.out, "kept\n");
    ck_assert_int_eq(output.exit.signal, SIGTERM);
    proc_output_free(&output);
}
END_TEST

/* ---- limit ---- */

START_TEST(more_output_than_the_limit_is_efbig_and_what_came_is_kept)
{
    struct proc_output output = {.limit = 1000};
    struct proc_options options = {.argv = SHELL("while :; do echo 0123456789; done")};

    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, 20000), -1);
    ck_assert_int_eq(errno, EFBIG);
    ck_assert_uint_eq(output.out_size, 1000);
    ck_assert_uint_eq(strlen(output.out), 1000);
    ck_assert_int_eq(strncmp(output.out, "0123456789\n01", 13), 0);
    ck_assert_int_gt(output.exit.signal, 0);
    proc_output_free(&output);
    ck_assert_uint_eq(output.limit, 1000);
}
END_TEST

START_TEST(output_of_just_the_limit_is_all_right)
{
    struct proc_output output = {.limit = 1000};
    struct proc_options options = {.argv = SHELL("head -c 600 /dev/zero; head -c 400 /dev/zero >&2")};

    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, 20000), 1);
    ck_assert_uint_eq(output.out_size, 600);
    ck_assert_uint_eq(output.err_size, 400);
    proc_output_free(&output);
    output.limit = SIZE_MAX;
    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, 20000), 1);
    ck_assert_uint_eq(output.out_size, 600);
    proc_output_free(&output);
    output.limit = 999;
    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, 20000), -1);
    ck_assert_int_eq(errno, EFBIG);
    ck_assert_uint_eq(output.out_size + output.err_size, 999);
    proc_output_free(&output);
}
END_TEST

/* ---- odds ---- */

START_TEST(bad_arguments_are_einval)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL(":")};

    ck_assert_int_eq(proc_run(&options, NULL, 1, &output, -1), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    struct proc *proc = must_spawn(options);
    ck_assert_int_eq(proc_communicate(proc, NULL, 1, &output, -1), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(proc_communicate(proc, NULL, 0, &output, -2), -1);
    ck_assert_int_eq(errno, EINVAL);
    must_end(proc);
    options = (struct proc_options){.argv = (const char *[]){"/nonexistent", NULL}};
    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, -1), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert(!proc_exit_ok(&output.exit));
    ck_assert_str_eq(proc_spawn_step(), "execve");
    proc_output_free(&output);
}
END_TEST

START_TEST(communicate_after_the_end_tells_it_again)
{
    struct proc_output output = {0};
    struct proc *proc = must_spawn_shell((struct proc_options){.out = PROC_PIPE}, "echo x; exit 3");

    ck_assert_int_eq(proc_wait(proc, NULL, -1), 1);
    ck_assert_int_eq(proc_communicate(proc, NULL, 0, &output, -1), 1); /* what it wrote is still there */
    ck_assert_str_eq(output.out, "x\n");
    ck_assert_int_eq(proc_communicate(proc, NULL, 0, &output, 0), 1);
    ck_assert_str_eq(output.out, "x\n");
    ck_assert_int_eq(output.exit.code, 3);
    proc_output_free(&output);
    proc_free(proc);
}
END_TEST

START_TEST(a_terminal_is_communicated_with_to_its_end)
{
    struct proc_output output = {0};
    char line[2];
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PTY, .out = PROC_PTY}, "stty -echo; echo; cat");

    ck_assert_int_eq(proc_read(proc, line, 2), 2);
    ck_assert_int_eq(proc_communicate(proc, "ab\ncd", 5, &output, 20000), 1);
    ck_assert_str_eq(output.out, "ab\r\ncd");
    proc_output_free(&output);
    proc_free(proc);

    proc = must_spawn_shell((struct proc_options){.in = PROC_PTY, .out = PROC_PTY}, "cat > /dev/null; seq 1 20000");
    ck_assert_int_eq(proc_communicate(proc, "a\n", 2, &output, 20000), 1);
    ck_assert_msg(output.out_size > 8 && strcmp(output.out + output.out_size - 7, "20000\r\n") == 0, "%zu", output.out_size);
    proc_output_free(&output);
    proc_free(proc);
}
END_TEST

START_TEST(run_leaves_a_stream_alone_that_fds_maps)
{
    struct proc_output output = {0};
    const char *file = temporary("mapped");
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const struct proc_fd fds[] = {{fd, 1}};
    struct proc_options options = {.argv = SHELL("echo out; echo err >&2"), .fds = fds, .nfds = 1};

    ck_assert_int_eq(proc_run(&options, NULL, 0, &output, 20000), 1);
    close(fd);
    ck_assert_str_eq(output.out, "");
    ck_assert_str_eq(output.err, "err\n");
    ck_assert_str_eq(contents_of(file), "out\n");
    proc_output_free(&output);
}
END_TEST

START_TEST(an_exit_that_has_not_come_yet_is_not_ok)
{
    struct proc_output output = {0};
    struct proc *proc = must_spawn_shell((struct proc_options){.in = PROC_PIPE}, "kill -STOP $$");

    ck_assert_int_eq(proc_communicate(proc, NULL, 0, &output, 10), 0);
    ck_assert(!proc_exit_ok(&output.exit));
    proc_output_free(&output);
    proc_free(proc);
}
END_TEST

/* However full the terminal is when all is said, its end-of-file character follows. */
START_TEST(a_terminal_that_is_full_gets_its_end_of_file)
{
    char *data = malloc(70000);

    memset(data, '\n', 70000);
    for (size_t size = 19450; size < 19462; size++) {
        struct proc_output output = {0};
        struct proc_options options = {.argv = SHELL("stty raw -echo icanon; cat > /dev/null"), .in = PROC_PTY};

        ck_assert_int_eq(proc_run(&options, data, size, &output, 20000), 1);
        ck_assert(proc_exit_ok(&output.exit));
        proc_output_free(&output);
    }
    free(data);
}
END_TEST

START_TEST(a_smaller_limit_on_the_next_call_is_efbig)
{
    struct proc_output output = {0};
    struct proc_options options = {.out = PROC_PIPE, .in = PROC_PIPE};
    struct proc *proc = must_spawn_shell(options, "echo 123456789; kill -STOP $$; echo more");

    while (output.out_size < 10)
        ck_assert_int_eq(proc_communicate(proc, NULL, 0, &output, 10), 0);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)proc_pid(proc), &info, WSTOPPED | WNOWAIT), 0);
    ck_assert_int_eq(proc_kill(proc, SIGCONT), 0);
    output.limit = 5;
    ck_assert_int_eq(proc_communicate(proc, NULL, 0, &output, 20000), -1);
    ck_assert_int_eq(errno, EFBIG);
    proc_output_free(&output);
    proc_free(proc);
}
END_TEST

static int shout(struct proc *self, void *unused)
{
    char text[16];
    ssize_t size = proc_read(self, text, sizeof text);

    (void)unused;
    printf("heard %zd", size);
    return 5;
}

START_TEST(callback_children_are_run_in_the_same_way)
{
    struct proc_output output = {0};
    struct proc_options options = {.main = shout};

    ck_assert_int_eq(proc_run(&options, "abc", 3, &output, 20000), 1);
    ck_assert_str_eq(output.out, "heard 3");
    ck_assert_int_eq(output.exit.code, 5);
    proc_output_free(&output);
}
END_TEST

START_TEST(a_detached_child_is_communicated_with)
{
    struct proc_output output = {0};
    struct proc_options options = {.argv = SHELL("cat; exit 5"), .in = PROC_PIPE, .out = PROC_PIPE, .flags = PROC_DETACH};

    if (no_pidfds()) {
        skip("a detached child is waited for through its pidfd");
        return;
    }
    struct proc *proc = must_spawn(options);
    ck_assert_int_eq(proc_communicate(proc, "abc", 3, &output, 20000), 1);
    ck_assert_str_eq(output.out, "abc");
    ck_assert(output.exit.code == 5 || output.exit.code == -1);
    proc_output_free(&output);
    proc_free(proc);
}
END_TEST

Suite *suite_make(void)
{
    Suite *suite = suite_create("communicate");
    TCase *tcase = tcase_checked(suite, "communicate");

    tcase_add_test(tcase, data_in_all_directions_does_not_deadlock);
    tcase_add_test(tcase, output_is_never_null_and_ends_in_a_nul);
    tcase_add_test(tcase, without_output_what_comes_is_dropped);
    tcase_add_test(tcase, run_without_input_gives_none);
    tcase_add_test(tcase, a_child_that_does_not_want_its_input_is_no_error);
    tcase_add_test(tcase, a_grandchild_that_keeps_the_pipe_holds_nothing_up);
    tcase_add_test(tcase, a_grandchild_that_goes_on_writing_holds_nothing_up_either);
    tcase_add_test(tcase, a_child_that_closes_its_streams_is_waited_for);
    tcase_add_test(tcase, communicate_goes_on_after_its_time_ran_out);
    tcase_add_test(tcase, input_that_was_never_taken_is_freed_with_the_child);
    tcase_add_test(tcase, run_stops_a_child_whose_time_is_up_and_keeps_what_came);
    tcase_add_test(tcase, more_output_than_the_limit_is_efbig_and_what_came_is_kept);
    tcase_add_test(tcase, output_of_just_the_limit_is_all_right);
    tcase_add_test(tcase, bad_arguments_are_einval);
    tcase_add_test(tcase, communicate_after_the_end_tells_it_again);
    tcase_add_test(tcase, a_terminal_is_communicated_with_to_its_end);
    tcase_add_test(tcase, a_terminal_that_is_full_gets_its_end_of_file);
    tcase_add_test(tcase, a_smaller_limit_on_the_next_call_is_efbig);
    tcase_add_test(tcase, run_leaves_a_stream_alone_that_fds_maps);
    tcase_add_test(tcase, an_exit_that_has_not_come_yet_is_not_ok);
    tcase_add_test(tcase, callback_children_are_run_in_the_same_way);
    tcase_add_test(tcase, a_detached_child_is_communicated_with);
    return suite;
}

/* The least program that lasts: until it is killed, or its standard input ends, as it does when the one that holds the other
 * end is gone. By a byte to its standard output it says that it is there. */
#if defined __x86_64__
__asm__(".globl _start\n"
        "_start:\n\t"
        "mov $1, %eax\n\t" /* write */
        "mov $1, %edi\n\t"
        "mov %rsp, %rsi\n\t"
        "mov $1, %edx\n\t"
        "syscall\n\t"
        "xor %eax, %eax\n\t" /* read */
        "xor %edi, %edi\n\t"
        "syscall\n\t"
        "mov $231, %eax\n\t" /* exit_group */
        "xor %edi, %edi\n\t"
        "syscall\n");
#elif defined __aarch64__
__asm__(".globl _start\n"
        "_start:\n\t"
        "mov x8, #64\n\t" /* write */
        "mov x0, #1\n\t"
        "mov x1, sp\n\t"
        "mov x2, #1\n\t"
        "svc #0\n\t"
        "mov x8, #63\n\t" /* read */
        "mov x0, #0\n\t"
        "svc #0\n\t"
        "mov x8, #94\n\t" /* exit_group */
        "mov x0, #0\n\t"
        "svc #0\n");
#else
#include <unistd.h>

int main(void)
{
    char byte = 0;

    if (write(1, &byte, 1) == 1 && read(0, &byte, 1) < 0)
        return 1;
    return 0;
}
#endif

/* System calls that a machine's first process makes, beyond those of every program without a library. */

#include "start.h"

enum { LSEEK = 8, IOCTL = 16, DUP2 = 33, SOCKET = 41, SENDTO = 44, RECVFROM = 45, BIND = 49, SETSOCKOPT = 54,
       FORK = 57, WAIT4 = 61, KILL = 62, CHDIR = 80, RMDIR = 84, MKNOD = 133, CHROOT = 161, SYNC = 162, MOUNT = 165, UMOUNT = 166,
       REBOOT = 169, SETHOSTNAME = 170, SETSID = 112, NANOSLEEP = 35, POLL = 7, RT_SIGACTION = 13, RT_SIGPROCMASK = 14,
       RT_SIGTIMEDWAIT = 128, GETDENTS = 217, FINIT_MODULE = 313, PIPE2 = 293, CLOCK_SETTIME = 227, CLOCK_GETTIME = 228 };
enum { O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0100, O_NOCTTY = 0400, O_TRUNC = 01000, O_NONBLOCK = 04000,
       O_DIRECTORY = 0200000, O_CLOEXEC = 02000000 };
enum { SIGHUP = 1, SIGINT = 2, SIGKILL = 9, SIGTERM = 15, SIGCHLD = 17, SIGPWR = 30, WNOHANG = 1 };
enum { EINTR = 4, EAGAIN = 11, ECHILD = 10 };

static long call6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static int same(const char *one, const char *two)
{
    while (*one && *one == *two)
        one++, two++;
    return *one == *two;
}

/* Return what follows a beginning, or null. */
static char *after(char *text, const char *begin)
{
    while (*begin)
        if (*text++ != *begin++)
            return 0;
    return text;
}

/* Say a line on the console, of up to three texts. */
static void tell(const char *one, const char *two, const char *three)
{
    say("machine: ");
    say(one);
    if (two)
        say(two);
    if (three)
        say(three);
    say("\n");
}

static char *decimal(char *to, u64 number)
{
    char turned[24];
    int count = 0;
    do
        turned[count++] = '0' + number % 10;
    while (number /= 10);
    while (count)
        *to++ = turned[--count];
    *to = 0;
    return to;
}

static u64 number_of(const char *text)
{
    u64 found = 0;
    while (*text >= '0' && *text <= '9')
        found = found * 10 + *text++ - '0';
    return found;
}

/* Read a file's beginning; return how many bytes, with a zero behind them; below zero where it can't be read. */
static long read_file(const char *path, char *to, u64 room)
{
    long file = call(OPEN, (long)path, O_CLOEXEC, 0), count = 0, at = 0;
    if (file < 0)
        return file;
    while (at < (long)room - 1 && (count = call(READ, file, (long)to + at, room - 1 - at)) > 0)
        at += count;
    call(CLOSE, file, 0, 0);
    to[at] = 0;
    return count < 0 ? count : at;
}

static long write_file(const char *path, const char *text)
{
    long file = call(OPEN, (long)path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        return file;
    long count = call(WRITE, file, (long)text, length(text));
    call(CLOSE, file, 0, 0);
    return count;
}

/* Wait, unless a descriptor becomes readable before; return whether it did. */
static int readable(long file, long milliseconds)
{
    struct { int file; short asked, found; } one = {(int)file, 1, 0};
    return call(POLL, (long)&one, 1, milliseconds) > 0;
}

static void sleep_ms(long milliseconds)
{
    long time[2] = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    call(NANOSLEEP, (long)time, 0, 0);
}

static u64 now_ms(void)
{
    long time[2] = {0, 0};
    call(CLOCK_GETTIME, 1, (long)time, 0);
    return (u64)time[0] * 1000 + (u64)time[1] / 1000000;
}

/* Fork a process that signals end, as they don't this one; return its number, 0 in it. */
static long helper(void)
{
    u64 none = 0;
    long pid = call(FORK, 0, 0, 0);
    if (!pid)
        call6(RT_SIGPROCMASK, 2, (long)&none, 0, 8, 0, 0);
    return pid;
}

/* Call a function with the names in a folder, until it returns something. */
static long each_name(const char *folder, long (*visit)(const char *name))
{
    static char entries[8192];
    long file = call(OPEN, (long)folder, O_DIRECTORY | O_CLOEXEC, 0), count, found = 0;
    if (file < 0)
        return 0;
    while (!found && (count = call(GETDENTS, file, (long)entries, sizeof entries)) > 0)
        for (char *at = entries; !found && at < entries + count; at += *(u16 *)(at + 16))
            if (at[19] != '.')
                found = visit(at + 19);
    call(CLOSE, file, 0, 0);
    return found;
}

/* A program without any library, for Linux on x86-64: system calls, texts, and where it lies itself. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

enum { READ = 0, WRITE = 1, CLOSE = 3, MMAP = 9, ACCESS = 21, FLOCK = 73, EXECVE = 59, EXIT = 231, RENAME = 82,
       MKDIR = 83, UNLINK = 87, SYMLINK = 88, READLINK = 89, OPEN = 2, FSTAT = 5, GETEUID = 107, SYNCFS = 306 };
enum { ENOENT = 2, EACCES = 13, EEXIST = 17, ENOSPC = 28, EROFS = 30 };
enum { AT_EXECFN = 31, PATH_BYTES = 4096 };

static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static u64 length(const char *text)
{
    u64 count = 0;
    while (text[count])
        count++;
    return count;
}

/* The compiler makes calls of these. */
void *memcpy(void *to, const void *from, u64 count)
{
    void *begin = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    return begin;
}

void *memset(void *to, int value, u64 count)
{
    void *begin = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
    return begin;
}

static void say(const char *text)
{
    call(WRITE, 2, (long)text, length(text));
}

static const char *reason(long error)
{
    switch (-error) {
    case ENOENT: return "there is no such file";
    case EACCES: return "permission denied, or the file system allows no programs";
    case ENOSPC: return "no space left on device";
    case EROFS: return "the file system is read-only";
    default: return "the kernel refused it";
    }
}

/* 3 is what all of a distribution's verbs end with where the host can't. */
static void fail(const char *what, const char *path, const char *why, const char *fix)
{
    say(what);
    say(" ");
    say(path);
    say(": ");
    say(why);
    say("\n  fix: ");
    say(fix);
    say("\n");
    for (;;)
        call(EXIT, 3, 0, 0);
}

/* Put texts together, up to a null pointer, in a path's room. */
static char *join(char *to, const char *one, const char *two, const char *three)
{
    const char *parts[3] = {one, two, three};
    u64 at = 0;
    for (int i = 0; i < 3; i++) {
        u64 count = parts[i] ? length(parts[i]) : 0;
        if (at + count >= PATH_BYTES)
            fail("can't use", one, "the path is too long", "put it in a folder with a shorter one");
        memcpy(to + at, parts[i], count);
        at += count;
    }
    to[at] = 0;
    return to;
}

/* Say where this program lies: as the kernel tells, else, where /proc isn't mounted, as it was called. */
static char *own_path(char *to, char **environment)
{
    long count = call(READLINK, (long)"/proc/self/exe", (long)to, PATH_BYTES - 1);
    if (count > 0) {
        to[count] = 0;
        return to;
    }
    while (*environment)
        environment++;
    for (u64 *each = (u64 *)(environment + 1); each[0]; each += 2)
        if (each[0] == AT_EXECFN)
            return join(to, (char *)each[1], 0, 0);
    fail("can't find", "the running program", "/proc isn't mounted", "mount -t proc proc /proc");
    return to;
}

/* Take the last component off a path, and return it. */
static char *split(char *path)
{
    u64 at = length(path);
    while (at && path[at - 1] != '/')
        at--;
    if (at)
        path[at - 1] = 0;
    return path + at;
}

/* Run the interpreter that lies in a folder, with an archive unless it is null, and the words from the second on. */
static void run(const char *folder, const char *archive, char **words, long count, char **environment)
{
    static char loader[PATH_BYTES], name[PATH_BYTES], libraries[PATH_BYTES], program[PATH_BYTES];
    char *all[count + 10];
    long at = 0;
    all[at++] = join(loader, folder, "/lib/ld.so", 0);
    all[at++] = "--argv0";
    all[at++] = join(name, folder, "/bin/python3", 0);
    all[at++] = "--library-path";
    all[at++] = join(libraries, folder, "/lib", 0);
    all[at++] = join(program, folder, "/libexec/python3", 0);
    if (archive) {
        all[at++] = "-I";
        all[at++] = "-S";
        all[at++] = (char *)archive;
    }
    for (long i = 1; i < count; i++)
        all[at++] = words[i];
    all[at] = 0;
    long error = call(EXECVE, (long)loader, (long)all, (long)environment);
    fail("can't run", loader, reason(error), "unpack this distribution again, where programs may be run");
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");

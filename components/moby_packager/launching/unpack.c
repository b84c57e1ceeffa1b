/* One file that holds an interpreter and an archive: unpacks the interpreter once into a folder that is named by its
   content, and runs it with this very file, which ends with the archive. */

#include "start.h"
#include "inflate.h"

/* Written by the packager, which finds it by its mark. */
static volatile const struct {
    char mark[16];
    u64 offset, packed, plain;
    u32 check;
    char id[36];
} inside = {"moby-packed-here", 0, 0, 0, 0, ""};

enum { O_WRONLY = 1, O_CREAT = 0100, O_TRUNC = 01000, O_DIRECTORY = 0200000, O_NOFOLLOW = 0400000, O_CLOEXEC = 02000000 };
static const char *elsewhere = "set XDG_CACHE_HOME to a folder of your own that has room and allows programs";

static const char *variable(char **environment, const char *name)
{
    for (u64 count = length(name); *environment; environment++) {
        u64 same = 0;
        while (same < count && (*environment)[same] == name[same])
            same++;
        if (same == count && (*environment)[same] == '=' && (*environment)[same + 1] == '/')
            return *environment + same + 1;
    }
    return 0;
}

/* Say where caches of this user are; nobody else may have made that folder. */
static void place(char *to, char **environment)
{
    const char *cache = variable(environment, "XDG_CACHE_HOME"), *home = variable(environment, "HOME");
    long user = call(GETEUID, 0, 0, 0);
    if (cache)
        join(to, cache, "/moby", 0);
    else if (!user)
        join(to, "/var/cache/moby", 0, 0);
    else if (home)
        join(to, home, "/.cache/moby", 0);
    else {
        char digits[12], *at = digits + 11;
        *at = 0;
        for (long left = user; left; left /= 10)
            *--at = '0' + left % 10;
        join(to, "/tmp/moby-", at, 0);
    }
    for (char *each = to + 1; *each; each++)
        if (*each == '/') {
            *each = 0;
            call(MKDIR, (long)to, 0755, 0);
            *each = '/';
        }
    long error = call(MKDIR, (long)to, 0700, 0);
    long opened = call(OPEN, (long)to, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    u32 found[36];
    if (opened < 0 || call(FSTAT, opened, (long)found, 0) < 0)
        fail("can't unpack to", to, reason(error < 0 && error != -EEXIST ? error : opened), elsewhere);
    if (found[7] != user || found[6] & 022)
        fail("can't unpack to", to, "somebody else may write there", elsewhere);
    call(CLOSE, opened, 0, 0);
}

static u32 check_of(const u8 *data, u64 count)
{
    static u32 table[256];
    for (u32 i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
    }
    u32 sum = ~0u;
    for (; count; count--)
        sum = sum >> 8 ^ table[(sum ^ *data++) & 255];
    return ~sum;
}

static void write_file(const char *path, const u8 *data, u64 count, int mode)
{
    call(UNLINK, (long)path, 0, 0);
    long file = call(OPEN, (long)path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    long written = file;
    while (file >= 0 && count) {
        written = call(WRITE, file, (long)data, count);
        if (written <= 0)
            break;
        data += written;
        count -= written;
    }
    if (file < 0 || count)
        fail("can't write", path, reason(file < 0 ? file : written < 0 ? written : -ENOSPC), elsewhere);
    call(CLOSE, file, 0, 0);
}

/* Write what was unpacked: for each a letter, the lengths of path and content, path, content. */
static void write_all(const char *folder, const u8 *at, const u8 *end)
{
    static char path[PATH_BYTES], name[PATH_BYTES], target[PATH_BYTES];
    while (at < end) {
        u8 kind = at[0];
        u64 letters = at[1] | at[2] << 8;
        u64 count = at[3] | at[4] << 8 | at[5] << 16 | (u64)at[6] << 24;
        memcpy(name, at + 7, letters);
        name[letters] = 0;
        join(path, folder, "/", name);
        const u8 *data = at + 7 + letters;
        long error = 0;
        if (kind == 'd')
            error = call(MKDIR, (long)path, 0755, 0);
        else if (kind == 'l') {
            memcpy(target, data, count);
            target[count] = 0;
            call(UNLINK, (long)path, 0, 0);
            error = call(SYMLINK, (long)target, (long)path, 0);
        } else
            write_file(path, data, count, kind == 'x' ? 0755 : 0644);
        if (error < 0 && error != -EEXIST)
            fail("can't write", path, reason(error), elsewhere);
        at = data + count;
    }
}

static long map(long file, u64 offset, u64 count)
{
    register long flags __asm__("r10") = file < 0 ? 0x22 : 2;
    register long descriptor __asm__("r8") = file;
    register u64 from __asm__("r9") = offset;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(MMAP), "D"(0), "S"(count), "d"(file < 0 ? 3 : 1), "r"(flags),
                     "r"(descriptor), "r"(from) : "rcx", "r11", "memory");
    return result;
}

static void unpack(const char *own, const char *folder, const char *fresh)
{
    long file = call(OPEN, (long)own, O_CLOEXEC, 0);
    u64 skipped = inside.offset & 4095;
    long packed = map(file, inside.offset - skipped, inside.packed + skipped), plain = map(-1, 0, inside.plain);
    if (file < 0 || (packed < 0 && packed > -4096) || (plain < 0 && plain > -4096))
        fail("can't read", own, "it can't be mapped", "get it again");
    if (inflate((u8 *)packed + skipped, inside.packed, (u8 *)plain, inside.plain)
        || check_of((u8 *)plain, inside.plain) != inside.check)
        fail("can't unpack", own, "it is damaged", "get it again");
    long error = call(MKDIR, (long)fresh, 0755, 0);
    if (error < 0 && error != -EEXIST)
        fail("can't make", fresh, reason(error), elsewhere);
    write_all(fresh, (u8 *)plain, (u8 *)plain + inside.plain);
    long there = call(OPEN, (long)fresh, O_DIRECTORY | O_CLOEXEC, 0);
    call(SYNCFS, there, 0, 0);
    error = call(RENAME, (long)fresh, (long)folder, 0);
    if (error < 0)
        fail("can't name", folder, reason(error), elsewhere);
}

void begin(long *stack)
{
    static char own[PATH_BYTES], base[PATH_BYTES], folder[PATH_BYTES], fresh[PATH_BYTES], lock[PATH_BYTES];
    static char python[PATH_BYTES];
    char **words = (char **)(stack + 1);
    char **environment = words + stack[0] + 1;
    own_path(own, environment);
    place(base, environment);
    const char *id = (const char *)inside.id;
    join(folder, base, "/", id);
    join(python, folder, "/bin/python3", 0);
    if (call(ACCESS, (long)python, 1, 0)) {
        /* Whoever comes second waits, and a killed one's beginning is written over. */
        long held = call(OPEN, (long)join(lock, folder, ".lock", 0), O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (held < 0)
            fail("can't write", lock, reason(held), elsewhere);
        call(FLOCK, held, 2, 0);
        if (call(ACCESS, (long)python, 1, 0))
            unpack(own, folder, join(fresh, folder, ".new", 0));
        call(CLOSE, held, 0, 0);
    }
    run(folder, own, words, stack[0], environment);
}

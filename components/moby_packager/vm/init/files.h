/* Where a machine has what: its root for reading only, what the kernel shows, and what may be written. */

enum { RDONLY = 1, NOSUID = 2, NODEV = 4, NOEXEC = 8, REMOUNT = 32, BINDING = 4096, MOVE = 8192 };
enum { SUPERBLOCK = 1024, EXT4_MAGIC = 56, EXT4_LABEL = 120, LABEL_BYTES = 16 };

struct place { const char *kind, *target; u64 flags; const char *options; };

static const struct place PLACES[] = {
    {"proc", "/proc", NOSUID | NODEV | NOEXEC, 0},
    {"sysfs", "/sys", NOSUID | NODEV | NOEXEC, 0},
    {"devtmpfs", "/dev", NOSUID, "mode=755"},
    {"devpts", "/dev/pts", NOSUID | NOEXEC, "gid=5,mode=620,ptmxmode=666"},
    {"tmpfs", "/dev/shm", NOSUID | NODEV, "mode=1777"},
    {"mqueue", "/dev/mqueue", NOSUID | NODEV | NOEXEC, 0},
    {"tmpfs", "/run", NOSUID | NODEV, "mode=755"},
    {"tmpfs", "/tmp", NOSUID | NODEV, "mode=1777"},
    {"tmpfs", "/var", NODEV, "mode=755"},
    {"cgroup2", "/sys/fs/cgroup", NOSUID | NODEV | NOEXEC, "nsdelegate"},
};
static const char *const LINKS[][2] = {
    {"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

static long mount(const char *source, const char *target, const char *kind, u64 flags, const char *options)
{
    return call6(MOUNT, (long)source, (long)target, (long)kind, flags, (long)options, 0);
}

/* Make the kernel's first root a mount on itself: the first one has no parent, and so no container could leave it by
   pivot_root(2). */
static void own_root(void)
{
    mount("/", "/run", 0, BINDING, 0);
    call(CHDIR, (long)"/run", 0, 0);
    mount(".", "/", 0, MOVE, 0);
    call(CHROOT, (long)".", 0, 0);
    call(CHDIR, (long)"/", 0, 0);
}

static void mount_places(void)
{
    for (u64 i = 0; i < sizeof PLACES / sizeof *PLACES; i++) {
        const struct place *each = PLACES + i;
        call(MKDIR, (long)each->target, 0755, 0);
        long error = mount(each->kind, each->target, each->kind, each->flags, each->options);
        if (error < 0)
            tell("can't mount ", each->target, 0);
    }
    for (u64 i = 0; i < sizeof LINKS / sizeof *LINKS; i++)
        call(SYMLINK, (long)LINKS[i][0], (long)LINKS[i][1], 0);
}

static void seal_root(void)
{
    if (mount(0, "/", 0, REMOUNT | BINDING | RDONLY | NODEV, 0) < 0)
        tell("can't make the root read-only", 0, 0);
}

static const char *wanted_label;
static char data_device[PATH_BYTES];

/* Whether a block device has a file system with the label that is looked for. */
static long has_label(const char *name)
{
    static char block[SUPERBLOCK + 1024];
    join(data_device, "/dev/", name, 0);
    long file = call(OPEN, (long)data_device, O_CLOEXEC, 0), count = 0;
    if (file < 0)
        return 0;
    count = call(READ, file, (long)block, sizeof block);
    call(CLOSE, file, 0, 0);
    char *super = block + SUPERBLOCK, label[LABEL_BYTES + 1] = {0};
    if (count < (long)sizeof block || (u8)super[EXT4_MAGIC] != 0x53 || (u8)super[EXT4_MAGIC + 1] != 0xef)
        return 0;
    memcpy(label, super + EXT4_LABEL, LABEL_BYTES);
    return same(label, wanted_label);
}

/* Mount the disk with a label where all lasting files lie; without one these are in memory. */
static void mount_data(const char *label)
{
    wanted_label = label;
    if (!each_name("/sys/class/block", has_label))
        return;
    long error = mount(data_device, "/var", "ext4", NODEV, "errors=remount-ro");
    if (error < 0)
        tell("can't mount the data disk ", data_device, "; lasting files are in memory");
}

/* Let groups have every controller that there is. */
static void enable_controllers(void)
{
    static char names[1024];
    if (read_file("/sys/fs/cgroup/cgroup.controllers", names, sizeof names) <= 0)
        return;
    for (char *at = names; *at;) {
        char one[64] = "+";
        u64 count = 0;
        while (at[count] > ' ')
            count++;
        if (count && count < sizeof one - 2) {
            memcpy(one + 1, at, count);
            write_file("/sys/fs/cgroup/cgroup.subtree_control", one);
        }
        at += count + (at[count] != 0);
    }
}

static void make_folder(char *path)
{
    for (char *at = path + 1; *at; at++)
        if (*at == '/') {
            *at = 0;
            call(MKDIR, (long)path, 0755, 0);
            *at = '/';
        }
    if (call(MKDIR, (long)path, 0755, 0) < 0 && call(ACCESS, (long)path, 0, 0) < 0)
        tell("can't make the folder ", path, 0);
}

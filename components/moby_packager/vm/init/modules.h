/* Modules of the kernel: those that are always wanted, and drivers of what is there. */

enum { MOST_DEVICES = 256, ALIAS_BYTES = 160 };
static char aliases[MOST_DEVICES][ALIAS_BYTES];
static int devices;
static const char *bus;

/* Whether a name is as a pattern with stars and question marks. */
static int matches(const char *pattern, const char *name)
{
    for (; *pattern; pattern++, name++) {
        if (*pattern == '*') {
            for (pattern++;; name++) {
                if (matches(pattern, name))
                    return 1;
                if (!*name)
                    return 0;
            }
        }
        if (!*name || (*pattern != '?' && *pattern != *name))
            return 0;
    }
    return !*name;
}

static long note_device(const char *name)
{
    static char folder[PATH_BYTES], path[PATH_BYTES];
    if (devices == MOST_DEVICES)
        return 1;
    join(folder, "/sys/bus/", bus, "/devices/");
    join(path, folder, name, "/modalias");
    long count = read_file(path, aliases[devices], ALIAS_BYTES);
    while (count > 0 && aliases[devices][count - 1] == '\n')
        aliases[devices][--count] = 0;
    devices += count > 0;
    return 0;
}

/* Note what devices are there, by the names that their drivers know them by. */
static void note_devices(void)
{
    static const char *const BUSES[] = {"virtio", "pci", "acpi", "vmbus"};
    devices = 0;
    for (u64 i = 0; i < sizeof BUSES / sizeof *BUSES; i++) {
        static char path[PATH_BYTES];
        bus = BUSES[i];
        each_name(join(path, "/sys/bus/", bus, "/devices"), note_device);
    }
}

static int is_there(const char *pattern)
{
    for (int i = 0; i < devices; i++)
        if (matches(pattern, aliases[i]))
            return 1;
    return 0;
}

static void load(const char *path)
{
    long file = call(OPEN, (long)path, O_CLOEXEC, 0);
    long error = file < 0 ? file : call(FINIT_MODULE, file, (long)"", 0);
    if (error < 0 && error != -EEXIST)
        tell("can't load the module ", path, 0);
    if (file >= 0)
        call(CLOSE, file, 0, 0);
}

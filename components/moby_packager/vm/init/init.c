/* A machine's first process: mounts, modules, the network, what is to run, and the end of all that in order.

   What it does is in /etc/moby/machine, a line each, words separated by a space, in the order in which it is done:

     hostname NAME
     module PATH                 a module of the kernel that is always loaded
     driver PATTERN PATH...      some that are loaded where there is such a device
     network dhcp | network ADDRESS PREFIX GATEWAY [NAME SERVER]...
     time ADDRESS PORT           of a server of time, by which the clock is set
     data LABEL                  of the file system that is mounted on /var
     folder PATH                 one that is made, with those that it is in
     onboot WORD...              a program that is run to its end before what follows
     service WORD...             a program that is kept running
     onboot start PLAN NAME, service start PLAN NAME     a container of which a file says how it is started (steps.h)
     serve WORD...               one too, unless the kernel's command line says what to run
     stop WORD...                a program that is run when the machine goes down

   The kernel's command line may say MOBY_RUN=WORD,WORD (with %XX for bytes; %00 is an empty word), what to run at the
   console, whose end is the machine's, and MOBY_REPORT=DEVICE, a terminal that is told the exit code, and any byte of
   which ends the machine.
*/

#include "system.h"
#include "files.h"
#include "modules.h"
#include "button.h"
#include "network.h"
#include "clock.h"
#include "steps.h"
#include "tasks.h"

enum { SETTINGS_BYTES = 1 << 17, POWER_OFF = 0x4321FEDC, CAD_OFF = 0, TCGETS = 0x5401, TCSETS = 0x5402 };

static char settings[SETTINGS_BYTES];
static char *at_console[MOST_WORDS + 1], *at_end[MOST_WORDS + 1];
static const char *report;
static long first_failure;
static u64 signals = 1UL << (SIGINT - 1) | 1UL << (SIGTERM - 1) | 1UL << (SIGPWR - 1) | 1UL << (SIGCHLD - 1);

/* Divide a line into its words, up to a null pointer. */
static int divide(char *line, char **words, char separator)
{
    int count = 0;
    while (*line && count < MOST_WORDS) {
        words[count++] = line;
        while (*line && *line != separator)
            line++;
        if (*line)
            *line++ = 0;
    }
    words[count] = 0;
    return count;
}

static int hex(char digit)
{
    return digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10;
}

/* Replace %XX by the bytes that they are. */
static void decode(char *text)
{
    char *to = text;
    for (; *text; text++)
        if (*text == '%' && text[1] && text[2]) {
            *to++ = (char)(hex(text[1]) << 4 | hex(text[2]));
            text += 2;
        } else
            *to++ = *text;
    *to = 0;
}

static void read_command_line(char **words)
{
    for (; *words; words++) {
        char *value = after(*words, "MOBY_REPORT=");
        if (value)
            report = value;
        value = after(*words, "MOBY_RUN=");
        if (value && divide(value, at_console, ','))
            for (char **each = at_console; *each; each++)
                decode(*each);
    }
}

static void add_task(char **words)
{
    if (task_count == MOST_TASKS)
        return;
    memcpy(tasks[task_count++].words, words, MOST_WORDS * sizeof *words);
}

/* Do what a line says. */
static void obey(char **words, int count)
{
    const char *verb = words[0];
    if (same(verb, "hostname"))
        call(SETHOSTNAME, (long)words[1], length(words[1]), 0);
    else if (same(verb, "module"))
        load(words[1]);
    else if (same(verb, "driver") && is_there(words[1])) {
        for (char **each = words + 2; *each; each++)
            load(*each);
        note_devices();
    } else if (same(verb, "network") && same(words[1], "dhcp"))
        network_by_dhcp();
    else if (same(verb, "network"))
        network_as_written(words + 1, count - 1);
    else if (same(verb, "time") && count > 2)
        keep_time(words[1], words[2]);
    else if (same(verb, "data"))
        mount_data(words[1]);
    else if (same(verb, "folder"))
        make_folder(words[1]);
    else if (same(verb, "onboot")) {
        long code = run_to_end(words + 1, "machine-onboot", 0);
        if (code)
            tell("failed: ", last_of(words + 1), 0);
        first_failure = first_failure ? first_failure : code;
    } else if (same(verb, "service") || (same(verb, "serve") && !*at_console))
        add_task(words + 1);
    else if (same(verb, "stop"))
        memcpy(at_end, words + 1, MOST_WORDS * sizeof *words);
}

static void obey_settings(void)
{
    static char *words[MOST_WORDS + 1];
    char *line = settings;
    if (read_file("/etc/moby/machine", settings, sizeof settings) < 0)
        tell("there is no /etc/moby/machine", 0, 0);
    while (*line) {
        char *end = line;
        while (*end && *end != '\n')
            end++;
        char *next = end + (*end != 0);
        *end = 0;
        int count = divide(line, words, ' ');
        if (count > 1)
            obey(words, count);
        line = next;
    }
}

/* Have a process that ends the machine once the terminal that reports go to says a byte. */
static void heed_terminal(void)
{
    char byte, modes[64];
    if (!report || helper())
        return;
    long file = call(OPEN, (long)report, O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
    call(IOCTL, file, TCGETS, (long)modes);
    *(u32 *)(modes + 12) = 0; /* neither echo nor lines */
    call(IOCTL, file, TCSETS, (long)modes);
    if (call(READ, file, (long)&byte, 1) == 1)
        call(KILL, 1, SIGTERM, 0);
    call(EXIT, 0, 0, 0);
}

/* Keep tasks running until all are done, the program at the console is, or somebody ends the machine; return a code. */
static long keep(void)
{
    long foreground = *at_console ? start(at_console, "machine-console", 1) : 0;
    int had_foreground = foreground != 0;
    for (;;) {
        long turn[2] = {1, 0};
        int status = 0;
        long pid, number;
        while ((pid = call6(WAIT4, -1, (long)&status, WNOHANG, 0, 0, 0)) > 0) {
            if (pid == foreground)
                return exit_code(status);
            note_end(pid, exit_code(status));
        }
        start_tasks();
        if (!had_foreground && !has_tasks())
            return first_failure;
        number = call6(RT_SIGTIMEDWAIT, (long)&signals, 0, (long)turn, 8, 0, 0);
        if (number > 0 && number != SIGCHLD)
            return had_foreground ? 128 + number : first_failure;
    }
}

static void power_off(long code)
{
    char text[24] = "exit ";
    long file = report ? call(OPEN, (long)report, O_WRONLY | O_NOCTTY, 0) : -1;
    *decimal(text + 5, code) = '\n';
    if (file >= 0)
        call(WRITE, file, (long)text, length(text));
    call(CHDIR, (long)"/", 0, 0);
    call(SYNC, 0, 0, 0);
    if (call(UMOUNT, (long)"/var", 0, 0) < 0)
        mount(0, "/var", 0, REMOUNT | RDONLY, 0);
    call(SYNC, 0, 0, 0);
    sleep_ms(file >= 0 ? 20 : 0); /* a serial line is slow */
    call6(REBOOT, 0xfee1dead, 672274793, POWER_OFF, 0, 0, 0);
}

void begin(long *stack)
{
    char **words = (char **)(stack + 1);
    own_root();
    mount_places();
    call6(RT_SIGPROCMASK, 0, (long)&signals, 0, 8, 0, 0);
    call6(REBOOT, 0xfee1dead, 672274793, CAD_OFF, 0, 0, 0);
    read_command_line(words + stack[0] + 1);
    enable_controllers();
    set_up("lo");
    note_devices();
    seal_root();
    obey_settings();
    heed_terminal();
    heed_button();
    long code = keep();
    if (*at_end)
        run_to_end(at_end, "machine-end", 0);
    end_all();
    power_off(code);
}

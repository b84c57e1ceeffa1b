/* What a machine runs: programs before others, programs beside each other, and one at the console. */

enum { MOST_TASKS = 64, MOST_WORDS = 64, PAUSE_MS = 1000, PATIENCE_MS = 10000, TIOCSCTTY = 0x540E };

struct task { char *words[MOST_WORDS + 1]; long pid; int done; u64 again_ms; };

static struct task tasks[MOST_TASKS];
static int task_count;
static char *environment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=linux", "LC_ALL=C.UTF-8", 0
};

static long exit_code(int status)
{
    return status & 127 ? 128 + (status & 127) : status >> 8 & 255;
}

/* Return the last word, which says of a program what it is about. */
static const char *last_of(char **words)
{
    while (words[1])
        words++;
    return *words;
}

/* Start a program, or by `start PLAN NAME` a container, in a session and a control group of its own; the console is its
   terminal where it is at that. */
static long start(char **words, const char *group, int at_console)
{
    static char folder[PATH_BYTES], processes[PATH_BYTES];
    int is_container = same(words[0], "start");
    join(folder, "/sys/fs/cgroup/", group, 0);
    call(RMDIR, (long)folder, 0, 0); /* of the one before, with its limits; it stays where that left something running */
    call(MKDIR, (long)folder, 0755, 0);
    join(processes, folder, "/cgroup.procs", 0);
    long pid = is_container ? contained(words[1]) : helper();
    if (pid)
        return pid;
    write_file(processes, "0");
    call(SETSID, 0, 0, 0);
    if (is_container)
        do_steps(last_of(words), folder);
    if (at_console)
        call(IOCTL, 0, TIOCSCTTY, 1);
    long error = call(EXECVE, (long)words[0], (long)words, (long)environment);
    fail("can't run", words[0], reason(error), "assemble the machine with it");
    return 0;
}

/* Run a program to its end, and return its code; what else ends meanwhile is reaped. */
static long run_to_end(char **words, const char *group, int at_console)
{
    int status = 0;
    long pid = start(words, group, at_console), ended;
    while ((ended = call6(WAIT4, -1, (long)&status, 0, 0, 0, 0)) != pid)
        if (ended == -ECHILD)
            return 1;
    return exit_code(status);
}

/* Note the end of a task: one that failed is started again a second later. */
static void note_end(long pid, long code)
{
    for (int i = 0; i < task_count; i++) {
        struct task *each = tasks + i;
        if (each->pid != pid)
            continue;
        each->pid = 0;
        each->done = !code;
        if (code) {
            tell("failed and is started again: ", last_of(each->words), 0);
            each->again_ms = now_ms() + PAUSE_MS;
        }
    }
}

static void start_tasks(void)
{
    for (int i = 0; i < task_count; i++) {
        struct task *each = tasks + i;
        char group[24] = "machine-";
        decimal(group + 8, i);
        if (!each->pid && !each->done && now_ms() >= each->again_ms) {
            long pid = start(each->words, group, 0);
            each->pid = pid > 0 ? pid : 0; /* without room for a process, again a turn later */
        }
    }
}

static int has_tasks(void)
{
    for (int i = 0; i < task_count; i++)
        if (!tasks[i].done)
            return 1;
    return 0;
}

/* Wait for a task's end, for a time; what else ends meanwhile is reaped. */
static void await_end(struct task *task, long milliseconds)
{
    u64 until = now_ms() + milliseconds;
    while (task->pid && now_ms() < until) {
        int status = 0;
        long pid = call6(WAIT4, -1, (long)&status, WNOHANG, 0, 0, 0);
        if (pid == task->pid)
            task->pid = 0;
        else if (pid == -ECHILD)
            return;
        else if (!pid)
            sleep_ms(5);
    }
}

/* End all tasks in the reverse of their order, then everything else. */
static void end_all(void)
{
    for (int i = task_count - 1; i >= 0; i--)
        if (tasks[i].pid) {
            call(KILL, tasks[i].pid, SIGTERM, 0);
            await_end(tasks + i, PATIENCE_MS);
        }
    call(KILL, -1, SIGTERM, 0);
    u64 until = now_ms() + PATIENCE_MS;
    long pid;
    while ((pid = call6(WAIT4, -1, 0, WNOHANG, 0, 0, 0)) != -ECHILD && now_ms() < until)
        if (!pid)
            sleep_ms(5);
    call(KILL, -1, SIGKILL, 0);
    while (call6(WAIT4, -1, 0, 0, 0, 0, 0) > 0);
}

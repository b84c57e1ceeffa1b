/* The start of a container as system calls in their order, which were worked out when the machine was assembled.

   A plan (vm/steps.py writes it) is a head, steps, places of pointers, and data. What a step needs of an earlier one's
   result lies in the data, which begins with room for the folder of the control group that the process is in.
*/

enum { CLONE = 56, MOST_PLAN_WORDS = 1 << 13, CONSTANT = 0, ADDRESS = 1, KEPT = 2, KIND_BITS = 2, MOST_ARGUMENTS = 6 };

struct plan { u32 namespaces, steps, pointers, data_bytes; };
struct step {
    u32 number, kinds;   /* of its arguments: as they are, places in the data, or what lies there */
    u16 fine[2];         /* errors that it may end with */
    u16 after, without;  /* how many steps are passed over after it, and where it ends with one of those errors */
    u32 result, what;    /* where in the data its result is kept, unless it is zero, and what it does, as a text */
    u64 arguments[MOST_ARGUMENTS];
};

static u64 plan_room[MOST_PLAN_WORDS];

static u64 argument_of(const struct step *step, int index, char *data)
{
    u64 value = step->arguments[index];
    switch (step->kinds >> index * KIND_BITS & 3) {
    case ADDRESS: return (u64)(data + value);
    case KEPT: return *(u32 *)(data + value);
    default: return value;
    }
}

/* Do all steps, the last of which becomes the program; say which one failed, and end. */
static void do_steps(const char *name, const char *group)
{
    struct plan *plan = (struct plan *)plan_room;
    struct step *steps = (struct step *)(plan + 1);
    u32 *pointers = (u32 *)(steps + plan->steps);
    char *data = (char *)(pointers + plan->pointers), number[24];
    if (plan->steps) /* else there is no plan, which was told */
        memcpy(data, group, length(group) + 1);
    for (u32 i = 0; i < plan->pointers; i++)
        *(u64 *)(data + pointers[i]) += (u64)data;
    for (u32 i = 0; i < plan->steps; i++) {
        struct step *step = steps + i;
        u64 given[MOST_ARGUMENTS];
        for (int each = 0; each < MOST_ARGUMENTS; each++)
            given[each] = argument_of(step, each, data);
        long result = call6(step->number, given[0], given[1], given[2], given[3], given[4], given[5]);
        if (result >= 0 || result < -4095) {
            if (step->result)
                *(u32 *)(data + step->result) = (u32)result;
            i += step->after;
        } else if (-result == step->fine[0] || -result == step->fine[1])
            i += step->without;
        else {
            decimal(number, -result);
            say("machine: the container ");
            say(name);
            say(" can't ");
            say(data + step->what);
            say(": ");
            say(reason(result));
            say(" (");
            say(number);
            say(")\n");
            call(EXIT, 1, 0, 0);
        }
    }
    call(EXIT, 1, 0, 0);
}

/* Fork the first process of a container whose plan is in a file; return its number, 0 in it. */
static long contained(const char *path)
{
    static const struct plan nothing;
    struct plan *plan = (struct plan *)plan_room;
    u64 none = 0;
    if (read_file(path, (char *)plan_room, sizeof plan_room) < (long)sizeof *plan) {
        tell("can't read ", path, 0);
        *plan = nothing; /* which fails */
    }
    long pid = call6(CLONE, SIGCHLD | plan->namespaces, 0, 0, 0, 0, 0);
    if (!pid)
        call6(RT_SIGPROCMASK, 2, (long)&none, 0, 8, 0, 0);
    return pid;
}

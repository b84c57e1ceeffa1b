/* The button for switching a machine off, which ends it in order: a key of an input device (input.h of the kernel). */

enum { MOST_INPUTS = 32, KEY_EVENT = 1, KEY_POWER = 116, PRESSED = 1, POLLIN = 1 };

struct waited { int file; short asked, found; };
struct event { long time[2]; u16 kind, code; int value; };

static struct waited inputs[MOST_INPUTS];
static int input_count;

static long open_input(const char *name)
{
    static char path[PATH_BYTES];
    if (!after((char *)name, "event") || input_count == MOST_INPUTS)
        return 0;
    long file = call(OPEN, (long)join(path, "/dev/input/", name, 0), O_CLOEXEC, 0);
    if (file >= 0) {
        inputs[input_count].file = (int)file;
        inputs[input_count++].asked = POLLIN;
    }
    return 0;
}

/* Have a process that ends the machine once the button is pressed, where there is one. */
static void heed_button(void)
{
    struct event event;
    each_name("/dev/input", open_input);
    if (!input_count)
        return;
    if (helper()) {
        for (int i = 0; i < input_count; i++)
            call(CLOSE, inputs[i].file, 0, 0);
        return;
    }
    while (call(POLL, (long)inputs, input_count, -1) > 0)
        for (int i = 0; i < input_count; i++) {
            if (!inputs[i].found)
                continue;
            if (call(READ, inputs[i].file, (long)&event, sizeof event) != sizeof event)
                inputs[i].file = -1; /* the device has gone */
            else if (event.kind == KEY_EVENT && event.code == KEY_POWER && event.value == PRESSED)
                call(KILL, 1, SIGTERM, 0);
        }
    call(EXIT, 0, 0, 0);
}

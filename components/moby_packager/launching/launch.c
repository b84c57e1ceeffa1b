/* Runs the interpreter of the folder above its own: as itself where it is called python3, else with the archive of
   its own name that lies there. */

#include "start.h"

void begin(long *stack)
{
    static char own[PATH_BYTES], archive[PATH_BYTES], end[PATH_BYTES];
    char **words = (char **)(stack + 1);
    char **environment = words + stack[0] + 1;
    char *name = split(own_path(own, environment));
    split(own);
    const char *python = "python3";
    int same = length(name) == 7;
    for (int i = 0; same && i < 7; i++)
        same = name[i] == python[i];
    if (!same)
        join(archive, own, "/", join(end, name, ".pyz", 0));
    run(own, same ? 0 : archive, words, stack[0], environment);
}

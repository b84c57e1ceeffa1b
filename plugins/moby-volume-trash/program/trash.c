/* Volumes whose removal can be taken back: `trash-volumes STATE RUN KEEP_DAYS` serves the contract `volume-driver` 1.
 *
 * STATE/volumes/NAME is a volume, STATE/removed/SECONDS.NUMBER.NAME one that was removed at that time; RUN/NAME/USER says
 * who has it mounted. Each change is one rename(2), mkdir(2) or unlink(2), so that a kill leaves nothing half done. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "served.h"

enum { LONGEST_NAME = 200, DAY_S = 86400, MOST_AT_ONCE = 1 << 20 };

static const char *state; /* and the current folder */
static int run;
static long keep_s;
static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER;

static bool is_name(const char *text)
{
    static const char signs[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strlen(text);
    return length > 0 && length <= LONGEST_NAME && strspn(text, signs) == length && strchr("_.-", text[0]) == NULL;
}

/* Returns an argument that is to be a file's name; NULL, and why, where it isn't one. */
static const char *name_of(json_t *with, const char *argument)
{
    json_t *given = json_object_get(with, argument);
    const char *text = json_string_value(given);
    if (text != NULL && strlen(text) == json_string_length(given) && is_name(text))
        return text;
    fail("Invalid", "letters, digits and _.- after the first, 200 at most", "%s is no name for this volume driver",
         argument);
    return NULL;
}

/* Deletes a folder of what was removed: its files go, its own folders become things that were removed at the beginning of
 * time. So depth costs nothing, and nobody who still is in there leads the way out by a link. Returns how many came so. */
static long empty(int removed, const char *name)
{
    static unsigned long number;
    char aside[sizeof "0..folder" + 3 * sizeof number];
    long moved = 0;
    int failed, fd = openat(removed, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *inside = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *each;
    while (inside != NULL && (each = readdir(inside)) != NULL) {
        if (strcmp(each->d_name, ".") == 0 || strcmp(each->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, each->d_name, 0) != 0 && errno == EISDIR) {
            do
                snprintf(aside, sizeof aside, "0.%lu.folder", number++);
            while ((failed = renameat(fd, each->d_name, removed, aside)) != 0 && (errno == ENOTEMPTY || errno == EEXIST));
            moved += !failed; /* which it is where something is mounted */
        }
    }
    if (inside != NULL)
        closedir(inside);
    unlinkat(removed, name, fd >= 0 ? AT_REMOVEDIR : 0);
    return moved;
}

/* Deletes what was removed long enough ago; what can't be is tried again with the next. */
static void empty_trash(void)
{
    long left = MOST_AT_ONCE, moved;
    do {
        DIR *removed = opendir("removed");
        struct dirent *each;
        moved = 0;
        while (removed != NULL && moved < left && (each = readdir(removed)) != NULL)
            if (each->d_name[0] != '.' && atoll(each->d_name) + keep_s <= (long long)time(NULL))
                moved += empty(dirfd(removed), each->d_name);
        if (removed != NULL)
            closedir(removed);
        left -= moved;
    } while (moved > 0 && left > 0);
}

/* Opens the folder of who has a volume mounted, RUN/NAME. */
static int open_users(const char *name)
{
    return openat(run, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Returns who has a volume mounted, by commas, to be freed; NULL where nobody has. */
static char *users_of(const char *name)
{
    int fd = open_users(name);
    DIR *users = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *each;
    char *found = NULL, *before;
    while (users != NULL && (each = readdir(users)) != NULL)
        if (each->d_name[0] != '.') {
            before = found;
            if (asprintf(&found, "%s%s%s", before ? before : "", before ? ", " : "", each->d_name) < 0)
                abort();
            free(before);
        }
    if (users != NULL)
        closedir(users);
    return found;
}

static json_t *create(const char *name, const char *path, json_t *with)
{
    (void)name;
    const char *option;
    json_t *value;
    json_object_foreach(json_object_get(with, "options"), option, value)
        return fail("Invalid", "this driver knows none", "invalid option: \"%s\"", option);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return fail_by_errno(path);
    return json_null();
}

static json_t *path_of(const char *name, const char *path, json_t *with)
{
    (void)with;
    json_t *found = json_sprintf("%s/%s", state, path);
    return found != NULL ? found : fail("Unsupported", "", "the folder of %s isn't named in UTF-8", name);
}

static json_t *mount(const char *name, const char *path, json_t *with)
{
    struct stat found;
    const char *user = name_of(with, "user");
    if (user == NULL)
        return NULL;
    if (lstat(path, &found) != 0 || !S_ISDIR(found.st_mode))
        return fail("NotFound", "", "get %s: no such volume", name);
    if (mkdirat(run, name, 0700) != 0 && errno != EEXIST)
        return fail_by_errno(name);
    int users = open_users(name);
    int file = openat(users, user, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    json_t *answer = file >= 0 ? path_of(name, path, with) : fail_by_errno(user);
    close(file);
    close(users);
    return answer;
}

static json_t *unmount(const char *name, const char *path, json_t *with)
{
    (void)path;
    const char *user = name_of(with, "user");
    if (user == NULL)
        return NULL;
    int users = open_users(name);
    json_t *answer = users < 0 || unlinkat(users, user, 0) == 0 || errno == ENOENT ? json_null() : fail_by_errno(user);
    close(users);
    return answer;
}

static json_t *remove_volume(const char *name, const char *path, json_t *with)
{
    (void)with;
    char aside[sizeof "removed/" + NAME_MAX];
    struct timespec now;
    char *users = users_of(name);
    if (users != NULL) {
        fail("Conflict", "stop what uses it", "the volume %s is mounted for %s", name, users);
        free(users);
        return NULL;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(aside, sizeof aside, "removed/%lld.%09ld.%s", (long long)now.tv_sec, now.tv_nsec, name);
    if (rename(path, aside) != 0 && errno != ENOENT)
        return fail_by_errno(path);
    unlinkat(run, name, AT_REMOVEDIR);
    empty_trash();
    return json_null();
}

/* It can't be said: what is removed still takes its space. */
static json_t *size_bytes(const char *name, const char *path, json_t *with)
{
    (void)name, (void)path, (void)with;
    return json_integer(-1);
}

static const struct {
    const char *method;
    json_t *(*act)(const char *name, const char *path, json_t *with);
} methods[] = {
    {"create", create},        {"mount", mount},  {"unmount", unmount},
    {"remove", remove_volume}, {"path", path_of}, {"size_bytes", size_bytes},
};

/* Forgets who uses volumes: the engine and all its containers have ended for good. */
static json_t *reclaim(void)
{
    DIR *names = fdopendir(openat(run, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *each;
    while (names != NULL && (each = readdir(names)) != NULL) {
        int users = each->d_name[0] != '.' ? open_users(each->d_name) : -1;
        DIR *found = users >= 0 ? fdopendir(users) : NULL;
        struct dirent *user;
        while (found != NULL && (user = readdir(found)) != NULL)
            unlinkat(users, user->d_name, 0);
        if (found != NULL)
            closedir(found);
        unlinkat(run, each->d_name, AT_REMOVEDIR);
    }
    if (names == NULL)
        return fail_by_errno("");
    closedir(names);
    return json_null();
}

static json_t *act(const char *method, json_t *with)
{
    char path[sizeof "volumes/" + LONGEST_NAME];
    if (strcmp(method, "health") == 0)
        return json_string("");
    if (strcmp(method, "reclaim") == 0)
        return reclaim();
    for (size_t each = 0; each < sizeof methods / sizeof *methods; each++)
        if (strcmp(method, methods[each].method) == 0) {
            const char *name = name_of(with, "name");
            if (name == NULL)
                return NULL;
            snprintf(path, sizeof path, "volumes/%s", name);
            return methods[each].act(name, path, with);
        }
    return fail("Unsupported", "", "the contract volume-driver has no method %s here", method);
}

/* One call at a time, also of another process of this engine's. */
static json_t *call(const char *method, json_t *with)
{
    pthread_mutex_lock(&alone);
    int lock = openat(run, ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    json_t *found = lock >= 0 && flock(lock, LOCK_EX) == 0 ? act(method, with) : fail_by_errno(".lock");
    close(lock);
    pthread_mutex_unlock(&alone);
    return found;
}

static json_t *get(const char *attribute)
{
    return strcmp(attribute, "scope") == 0 ? json_string("local") : NULL;
}

static void need(bool done, const char *what)
{
    if (!done) {
        perror(what);
        exit(1);
    }
}

int main(int count, char **arguments)
{
    static const struct contract contract = {"volume-driver", 1, call, get};
    umask(0);
    if (count != 4) {
        fprintf(stderr, "usage: trash-volumes STATE RUN KEEP_DAYS\n");
        return 2;
    }
    state = arguments[1];
    keep_s = strtol(arguments[3], NULL, 10) * DAY_S;
    run = open(arguments[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
    need(run >= 0, arguments[2]);
    need(chdir(state) == 0, state);
    need(mkdir("volumes", 0711) == 0 || errno == EEXIST, "volumes");
    need(mkdir("removed", 0700) == 0 || errno == EEXIST, "removed");
    empty_trash();
    serve(&contract);
}

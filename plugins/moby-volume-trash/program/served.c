#define _GNU_SOURCE
#include "served.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTENER = 3, PROTOCOL = 1, NEIGHBOURS = 1, LONGEST = 1 << 24, HEAD = 6 };

static const struct contract *served;
static pthread_rwlock_t answering = PTHREAD_RWLOCK_INITIALIZER;
static volatile bool ending;
static _Thread_local json_t *error;

json_t *fail(const char *class, const char *hint, const char *format, ...)
{
    va_list more;
    va_start(more, format);
    json_decref(error);
    error = json_pack("{s:s, s:o, s:s}", "class", class, "message", json_vsprintf(format, more), "hint", hint);
    va_end(more);
    return NULL;
}

json_t *fail_by_errno(const char *what)
{
    json_decref(error);
    error = json_pack("{s:s, s:i, s:s, s:s}", "class", "OSError", "errno", errno, "message", strerror(errno),
                      "filename", what);
    return NULL;
}

static bool read_all(int connection, void *data, size_t size)
{
    for (char *next = data; size > 0;) {
        ssize_t count = read(connection, next, size); /* descriptors that come along are closed by the kernel */
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        next += count;
        size -= (size_t)count;
    }
    return true;
}

static bool send_all(int connection, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t count = send(connection, data, size, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        data += count;
        size -= (size_t)count;
    }
    return true;
}

/* Returns the next message; NULL where the caller has gone, or breaks the framing. */
static json_t *receive(int connection)
{
    unsigned char head[HEAD];
    uint32_t length;
    if (!read_all(connection, head, HEAD))
        return NULL;
    memcpy(&length, head, sizeof length);
    length = ntohl(length);
    char *body = length <= LONGEST ? malloc(length + 1) : NULL;
    json_t *message = NULL;
    if (body != NULL && read_all(connection, body, length)) {
        message = json_loadb(body, length, JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        if (message == NULL)
            message = json_null(); /* whoever asked is told that this was no call */
    }
    free(body);
    return message;
}

/* Sends a message and drops it. */
static bool reply(int connection, json_t *message)
{
    char *body = json_dumps(message, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(message);
    if (body == NULL)
        return false;
    size_t length = strlen(body);
    uint32_t head = htonl((uint32_t)length);
    char whole[HEAD] = {0}; /* no descriptors come along */
    memcpy(whole, &head, sizeof head);
    bool sent = length <= LONGEST && send_all(connection, whole, HEAD) && send_all(connection, body, length);
    free(body);
    return sent;
}

static json_t *failure(void)
{
    json_t *answer = json_pack("{s:o}", "error", error);
    error = NULL;
    return answer;
}

static bool near(json_t *said, int own)
{
    return json_is_integer(said) && llabs(json_integer_value(said) - own) <= NEIGHBOURS;
}

static bool greeted(int connection)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || (peer.uid != geteuid() && peer.uid != 0))
        return false;
    json_t *said = receive(connection);
    if (said == NULL)
        return false;
    const char *kind = json_string_value(json_object_get(said, "contract"));
    bool fits = near(json_object_get(said, "moby"), PROTOCOL) && kind != NULL && strcmp(kind, served->kind) == 0 &&
                near(json_object_get(said, "version"), served->version);
    json_decref(said);
    if (!fits) {
        fail("Unsupported", "start the engine that this part belongs to", "this part speaks protocol %d of %s %d",
             PROTOCOL, served->kind, served->version);
        reply(connection, failure());
        return false;
    }
    return reply(connection, json_pack("{s:i, s:s, s:i}", "moby", PROTOCOL, "contract", served->kind, "version",
                                       served->version));
}

static json_t *answer(json_t *message)
{
    const char *method = json_string_value(json_object_get(message, "call"));
    const char *attribute = json_string_value(json_object_get(message, "get"));
    json_t *value = NULL;
    if (attribute != NULL) {
        value = served->get(attribute);
        if (value == NULL)
            fail("Unsupported", "", "the contract %s has no %s here", served->kind, attribute);
    } else if (method != NULL) {
        value = served->call(method, json_object_get(message, "with"));
    } else {
        fail("Invalid", "", "a message of another process is no call");
    }
    return value != NULL ? json_pack("{s:o}", "value", value) : failure();
}

static void *converse(void *argument)
{
    int connection = (int)(long)argument;
    if (greeted(connection)) {
        bool going = true;
        json_t *message;
        while (going && (message = receive(connection)) != NULL) {
            pthread_rwlock_rdlock(&answering);
            going = reply(connection, answer(message));
            pthread_rwlock_unlock(&answering);
            json_decref(message);
        }
    }
    close(connection);
    return NULL;
}

static void *accept_all(void *unused)
{
    (void)unused;
    while (!ending) {
        int connection = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;
        if (connection < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
                usleep(10000);
        } else if (pthread_create(&thread, NULL, converse, (void *)(long)connection) == 0) {
            pthread_detach(thread);
        } else {
            close(connection);
        }
    }
    return NULL;
}

void serve(const struct contract *contract)
{
    sigset_t end;
    pthread_t thread;
    int number;
    served = contract;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &end, NULL);
    if (pthread_create(&thread, NULL, accept_all, NULL) != 0) {
        perror("no thread");
        exit(1);
    }
    sigwait(&end, &number);
    ending = true;
    pthread_rwlock_wrlock(&answering);
    exit(0);
}

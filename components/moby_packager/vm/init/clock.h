/* The machine's clock, set by a server of time. */

#include "sntp.h"

enum { CONNECT = 42, GETRANDOM = 318, ASK_TRIES = 3, AGAIN_MS = 16000, EVERY_MS = 1024000 };
static struct address time_server = {AF_INET, 0, 0, {0}};

/* Ask once; return whether the clock was set. The answer is taken to have been half of the time on its way. */
static int ask_time(void)
{
    struct sntp packet = {0};
    u32 asked[2], fraction = 0;
    long socket = call(SOCKET, AF_INET, DATAGRAM | O_CLOEXEC, 0), seconds = 0;
    call(GETRANDOM, (long)asked, sizeof asked, 0);
    packet.flags = QUESTION;
    memcpy(packet.sent, asked, sizeof asked);
    u64 begin = now_ms();
    if (call(CONNECT, socket, (long)&time_server, sizeof time_server) >= 0
        && call(WRITE, socket, (long)&packet, sizeof packet) > 0 && readable(socket, TRY_MS))
        seconds = understand_time(&packet, call(READ, socket, (long)&packet, sizeof packet), asked, &fraction);
    call(CLOSE, socket, 0, 0);
    if (!seconds)
        return 0;
    u64 nanoseconds = ((u64)fraction * 1000000000 >> 32) + (now_ms() - begin) * 500000;
    long time[2] = {seconds + (long)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    return call(CLOCK_SETTIME, 0, (long)time, 0) >= 0;
}

/* Set the clock before anything else runs, where the server answers, and have a process that keeps setting it. */
static void keep_time(const char *address, const char *port)
{
    int given = 0;
    time_server.ip = address_of(address);
    time_server.port = big16((u16)number_of(port));
    for (int i = 0; i < ASK_TRIES && !given; i++)
        given = ask_time();
    if (!given)
        tell("no time from ", address, ", which is tried again");
    if (helper())
        return;
    for (;;) {
        sleep_ms(given ? EVERY_MS : AGAIN_MS);
        given = ask_time();
    }
}

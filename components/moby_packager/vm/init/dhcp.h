/* What servers of DHCP say (RFC 2131, RFC 2132): foreign bytes, read with nothing but memcpy. */

enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, MASK = 1, ROUTER = 3, NAME_SERVER = 6, ASKED = 50, LEASE = 51,
       KIND = 53, SERVER = 54, WANTED = 55, END = 255 };
enum { MOST_NAME_SERVERS = 3 };

struct dhcp { u8 op, type, bytes, hops; u32 transaction; u16 seconds, flags; u32 client, yours, server, relay; u8 hardware[16];
              u8 names[192]; u8 cookie[4]; u8 options[308]; };
struct lease { u32 ip, mask, router, server, seconds, name_servers[MOST_NAME_SERVERS]; int count; };

static u32 big32(u32 value) { return __builtin_bswap32(value); }

/* Read an answer; return its kind, 0 where it is none to us. What it says is foreign: no length of it is believed. */
static u8 understand(const struct dhcp *packet, long size, u32 transaction, struct lease *lease)
{
    const u8 *at = packet->options, *end = (const u8 *)packet + size;
    u8 kind = 0;
    if (size <= (long)(sizeof *packet - sizeof packet->options) || packet->op != 2 || packet->transaction != transaction)
        return 0;
    lease->ip = packet->yours;
    while (at < end && *at != END) {
        if (!*at) {
            at++;
            continue;
        }
        if (end - at < 2 || end - at < 2 + at[1])
            return 0;
        u32 value = 0;
        if (at[1] >= 4)
            memcpy(&value, at + 2, 4);
        switch (*at) {
        case KIND: kind = at[1] ? at[2] : 0; break;
        case MASK: lease->mask = value; break;
        case ROUTER: lease->router = value; break;
        case SERVER: lease->server = value; break;
        case LEASE: lease->seconds = big32(value); break;
        case NAME_SERVER:
            for (lease->count = 0; lease->count < MOST_NAME_SERVERS && lease->count * 4 + 4 <= at[1]; lease->count++)
                memcpy(lease->name_servers + lease->count, at + 2 + lease->count * 4, 4);
        }
        at += 2 + at[1];
    }
    return kind;
}

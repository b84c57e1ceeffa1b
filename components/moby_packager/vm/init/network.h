/* The first network interface, by DHCP (RFC 2131) or as it was written down. */

#include "dhcp.h"

enum { AF_INET = 2, DATAGRAM = 2, ETHERNET = 1, INTERFACE_BYTES = 16 };
enum { SIOCADDRT = 0x890B, SIOCSIFFLAGS = 0x8914, SIOCSIFADDR = 0x8916, SIOCSIFNETMASK = 0x891C, SIOCGIFHWADDR = 0x8927 };
enum { SOL_SOCKET = 1, SO_REUSEADDR = 2, SO_BROADCAST = 6, SO_BINDTODEVICE = 25 };
enum { IFF_UP = 1, RTF_UP = 1, RTF_GATEWAY = 2 };
enum { FIRST_TRIES = 5, TRY_MS = 1000, SHORTEST_S = 60 };

struct address { u16 family, port; u32 ip; u8 rest[8]; };
struct request { char name[INTERFACE_BYTES]; union { struct address address; u16 flags; u8 data[24]; }; };
struct route { u64 pad; struct address to, gateway, mask; u16 flags; short pad2; u64 pad3; u64 pad4; short metric; u64 device;
               u64 mtu, window; u16 irtt; };
static char interface[INTERFACE_BYTES];

static u16 big16(u16 value) { return (u16)(value << 8 | value >> 8); }

static long change(long socket, long what, struct request *request)
{
    u64 count = length(interface);
    memset(request->name, 0, sizeof request->name);
    memcpy(request->name, interface, count);
    return call(IOCTL, socket, what, (long)request);
}

static void set_up(const char *name)
{
    struct request request = {0};
    long socket = call(SOCKET, AF_INET, DATAGRAM | O_CLOEXEC, 0);
    memset(interface, 0, sizeof interface);
    memcpy(interface, name, length(name));
    request.flags = IFF_UP;
    change(socket, SIOCSIFFLAGS, &request);
    call(CLOSE, socket, 0, 0);
}

/* Take the first interface that is Ethernet's. */
static long choose(const char *name)
{
    static char folder[PATH_BYTES], path[PATH_BYTES];
    char text[16];
    join(path, join(folder, "/sys/class/net/", name, 0), "/type", 0);
    if (length(name) >= INTERFACE_BYTES || read_file(path, text, sizeof text) <= 0 || number_of(text) != ETHERNET)
        return 0;
    set_up(name);
    return 1;
}

static char *dotted(char *to, u32 ip)
{
    for (int i = 0; i < 4; i++) {
        to = decimal(to, ip >> 8 * i & 255);
        *to++ = '.';
    }
    *--to = 0;
    return to;
}

static void set_address(long socket, long what, u32 ip)
{
    struct request request = {0};
    request.address.family = AF_INET;
    request.address.ip = ip;
    if (change(socket, what, &request) < 0)
        tell("can't set the address of ", interface, 0);
}

static void write_name_servers(const struct lease *lease)
{
    static char text[256];
    char *at = text;
    for (int i = 0; i < lease->count; i++) {
        memcpy(at, "nameserver ", 11);
        at = dotted(at + 11, lease->name_servers[i]);
        *at++ = '\n';
    }
    *at = 0;
    write_file("/run/resolv.conf", text);
}

static void apply(const struct lease *lease)
{
    struct route route = {0};
    long socket = call(SOCKET, AF_INET, DATAGRAM | O_CLOEXEC, 0);
    set_address(socket, SIOCSIFADDR, lease->ip);
    set_address(socket, SIOCSIFNETMASK, lease->mask);
    route.to.family = route.gateway.family = route.mask.family = AF_INET;
    route.gateway.ip = lease->router;
    route.flags = RTF_UP | RTF_GATEWAY;
    long error = lease->router ? call(IOCTL, socket, SIOCADDRT, (long)&route) : 0;
    if (error < 0 && error != -EEXIST)
        tell("can't set the route by ", interface, 0);
    call(CLOSE, socket, 0, 0);
    write_name_servers(lease);
}

static u8 *put(u8 *at, u8 option, u32 value)
{
    *at++ = option;
    *at++ = 4;
    memcpy(at, &value, 4);
    return at + 4;
}

static void ask(long socket, u8 kind, const struct lease *lease, u32 transaction, const u8 *hardware)
{
    struct dhcp packet = {0};
    struct address everybody = {AF_INET, big16(67), 0xffffffff, {0}};
    static const u8 COOKIE[4] = {99, 130, 83, 99}, WISHES[] = {WANTED, 4, MASK, ROUTER, NAME_SERVER, LEASE};
    u8 *at = packet.options;
    packet.op = 1, packet.type = ETHERNET, packet.bytes = 6;
    packet.transaction = transaction;
    packet.flags = big16(0x8000);
    memcpy(packet.hardware, hardware, 6);
    memcpy(packet.cookie, COOKIE, 4);
    *at++ = KIND, *at++ = 1, *at++ = kind;
    if (kind == REQUEST) {
        at = put(at, ASKED, lease->ip);
        at = put(at, SERVER, lease->server);
    }
    memcpy(at, WISHES, sizeof WISHES);
    at[sizeof WISHES] = END;
    call6(SENDTO, socket, (long)&packet, sizeof packet, 0, (long)&everybody, sizeof everybody);
}

static int answered(long socket, u8 kind, u32 transaction, struct lease *lease)
{
    static struct dhcp packet;
    u64 until = now_ms() + TRY_MS;
    while (now_ms() < until) {
        if (!readable(socket, TRY_MS))
            return 0;
        long size = call6(RECVFROM, socket, (long)&packet, sizeof packet, 0, 0, 0);
        if (size > 0 && understand(&packet, size, transaction, lease) == kind)
            return 1;
    }
    return 0;
}

static long dhcp_socket(void)
{
    struct address own = {AF_INET, big16(68), 0, {0}};
    int yes = 1;
    long socket = call(SOCKET, AF_INET, DATAGRAM | O_CLOEXEC, 0);
    call6(SETSOCKOPT, socket, SOL_SOCKET, SO_REUSEADDR, (long)&yes, sizeof yes, 0);
    call6(SETSOCKOPT, socket, SOL_SOCKET, SO_BROADCAST, (long)&yes, sizeof yes, 0);
    call6(SETSOCKOPT, socket, SOL_SOCKET, SO_BINDTODEVICE, (long)interface, sizeof interface, 0);
    call(BIND, socket, (long)&own, sizeof own);
    return socket;
}

/* Get an address and set it; return for how many seconds it is ours, 0 where nobody answers. */
static u32 acquire(void)
{
    struct lease lease = {0};
    struct request request = {0};
    long socket = dhcp_socket();
    change(socket, SIOCGIFHWADDR, &request);
    u8 *hardware = request.data + 2;
    u32 transaction = (u32)now_ms() ^ hardware[5] << 24 ^ hardware[4] << 16;
    int given = 0;
    ask(socket, DISCOVER, &lease, transaction, hardware);
    if (answered(socket, OFFER, transaction, &lease)) {
        ask(socket, REQUEST, &lease, transaction, hardware);
        given = answered(socket, ACK, transaction, &lease);
    }
    call(CLOSE, socket, 0, 0);
    if (!given)
        return 0;
    apply(&lease);
    return lease.seconds > SHORTEST_S ? lease.seconds : SHORTEST_S;
}

/* Keep an address for as long as the machine runs; write to a pipe once there is one, or nobody gives any. */
static void keep_address(long first)
{
    int tries = 0;
    for (;;) {
        u32 seconds = acquire();
        if (seconds || ++tries == FIRST_TRIES) {
            if (!seconds)
                tell("no address by DHCP on ", interface, ", which is tried again");
            call(WRITE, first, (long)"", 1);
            call(CLOSE, first, 0, 0);
            first = -1;
        }
        sleep_ms(seconds ? (long)seconds * 500 : TRY_MS);
    }
}

static void network_by_dhcp(void)
{
    int ends[2];
    if (!each_name("/sys/class/net", choose) || call(PIPE2, (long)ends, O_CLOEXEC, 0) < 0)
        return;
    if (!helper())
        keep_address(ends[1]);
    call(CLOSE, ends[1], 0, 0);
    readable(ends[0], (FIRST_TRIES + 1) * 2 * TRY_MS);
    call(CLOSE, ends[0], 0, 0);
}

static u32 address_of(const char *text)
{
    u32 found = 0;
    for (int i = 0; i < 4; i++) {
        found |= (u32)number_of(text) << 8 * i;
        while (*text && *text++ != '.');
    }
    return found;
}

/* Set an address, the length of its network's prefix, a gateway and name servers, which the packager has checked. */
static void network_as_written(char **words, int count)
{
    struct lease lease = {0};
    if (!each_name("/sys/class/net", choose) || count < 3)
        return;
    lease.ip = address_of(words[0]);
    u64 prefix = number_of(words[1]);
    lease.mask = prefix ? big32(~0u << (32 - prefix)) : 0;
    lease.router = address_of(words[2]);
    for (int i = 3; i < count && lease.count < MOST_NAME_SERVERS; i++)
        lease.name_servers[lease.count++] = address_of(words[i]);
    apply(&lease);
}

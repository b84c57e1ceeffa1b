/* What servers of time say (RFC 5905, RFC 4330): foreign bytes, read with nothing but memcpy. */

enum { QUESTION = 4 << 3 | 3, BY_SERVER = 4, UNSYNCHRONIZED = 3, LAST_STRATUM = 15 };

struct sntp { u8 flags, stratum, poll, precision; u32 delay, dispersion, reference, set[2], asked[2], received[2], sent[2]; };

/* Read an answer; return seconds since 1970, 0 where it is none to what was asked with these words. The fraction of a
   second is in 2^-32. */
static long understand_time(const struct sntp *packet, long size, const u32 *asked, u32 *fraction)
{
    if (size < (long)sizeof *packet || (packet->flags & 7) != BY_SERVER || packet->flags >> 6 == UNSYNCHRONIZED
        || !packet->stratum || packet->stratum > LAST_STRATUM || packet->asked[0] != asked[0]
        || packet->asked[1] != asked[1])
        return 0;
    u32 seconds = __builtin_bswap32(packet->sent[0]);
    *fraction = __builtin_bswap32(packet->sent[1]);
    return seconds ? (long)seconds - 2208988800L + (seconds >> 31 ? 0 : 1L << 32) : 0; /* from 2036 on it begins anew */
}

/* Unpacks a stream of deflate (RFC 1951). Foreign bytes end in -1, never outside of the two buffers. */

enum { QUICK = 10, LONGEST = 15, LITERALS = 288, DISTANCES = 30 };

struct bits {
    const u8 *at, *end;
    u64 held;
    int count;
    int broken;
};

struct code {
    u16 quick[1 << QUICK];      /* Length and symbol by the next bits; 0 where the code is longer. */
    u16 counts[LONGEST + 1];    /* Codes of each length. */
    u16 symbols[LITERALS];      /* In the order of their codes. */
};

static void fill(struct bits *in, int count)
{
    while (in->count < count && in->at < in->end) {
        in->held |= (u64)*in->at++ << in->count;
        in->count += 8;
    }
}

static u32 take(struct bits *in, int count)
{
    fill(in, count);
    if (in->count < count)
        in->broken = 1;
    u32 value = in->held & ((1ul << count) - 1);
    in->held >>= count;
    in->count -= count;
    return value;
}

static u32 reversed(u32 value, int count)
{
    u32 result = 0;
    for (int i = 0; i < count; i++)
        result |= (value >> i & 1) << (count - 1 - i);
    return result;
}

/* Make a code of its symbols' lengths. */
static int prepare(struct code *code, const u8 *lengths, int symbols)
{
    u16 offsets[LONGEST + 2] = {0}, next[LONGEST + 2] = {0};
    memset(code, 0, sizeof *code);
    for (int i = 0; i < symbols; i++)
        code->counts[lengths[i]]++;
    code->counts[0] = 0;
    int left = 1;
    for (int i = 1; i <= LONGEST; i++) {
        left = left * 2 - code->counts[i];
        if (left < 0)
            return -1;
        offsets[i + 1] = offsets[i] + code->counts[i];
        next[i + 1] = (next[i] + code->counts[i]) << 1;
    }
    for (int i = 0; i < symbols; i++) {
        int size = lengths[i];
        if (!size)
            continue;
        code->symbols[offsets[size]++] = i;
        u32 first = reversed(next[size]++, size);
        for (u32 at = first; size <= QUICK && at < 1 << QUICK; at += 1 << size)
            code->quick[at] = size << 9 | i;
    }
    return 0;
}

static int decode(struct bits *in, const struct code *code)
{
    fill(in, LONGEST);
    u32 known = code->quick[in->held & ((1 << QUICK) - 1)];
    if (known) {
        take(in, known >> 9);
        return known & 511;
    }
    int value = 0, first = 0, index = 0;
    for (int size = 1; size <= LONGEST; size++) {
        value |= in->held >> (size - 1) & 1;
        int count = code->counts[size];
        if (value - count < first) {
            take(in, size);
            return code->symbols[index + value - first];
        }
        index += count;
        first = (first + count) << 1;
        value <<= 1;
    }
    in->broken = 1;
    return 0;
}

static int read_codes(struct bits *in, struct code *literals, struct code *distances)
{
    static const u8 order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    u8 lengths[320] = {0};
    int first = take(in, 5) + 257, second = take(in, 5) + 1, count = take(in, 4) + 4;
    for (int i = 0; i < count; i++)
        lengths[order[i]] = take(in, 3);
    if (prepare(literals, lengths, 19))
        return -1;
    memset(lengths, 0, sizeof lengths);
    for (int i = 0; i < first + second;) {
        int symbol = decode(in, literals), times = 1;
        u8 value = symbol;
        if (symbol > 15) {
            value = symbol == 16 && i ? lengths[i - 1] : 0;
            times = symbol == 18 ? 11 + take(in, 7) : symbol == 17 ? 3 + take(in, 3) : 3 + take(in, 2);
        }
        if (in->broken || i + times > first + second)
            return -1;
        memset(lengths + i, value, times);
        i += times;
    }
    return first > 286 || prepare(literals, lengths, first) || prepare(distances, lengths + first, second) ? -1 : 0;
}

static int fixed_codes(struct code *literals, struct code *distances)
{
    u8 lengths[LITERALS];
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    prepare(literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    return prepare(distances, lengths, DISTANCES);
}

/* A block of literals and repetitions; returns where the output goes on, or null. */
static u8 *block(struct bits *in, const struct code *literals, const struct code *distances, u8 *begin, u8 *to, u8 *end)
{
    for (;;) {
        int symbol = decode(in, literals);
        if (in->broken || (symbol < 256 && to == end))
            return 0;
        if (symbol < 256) {
            *to++ = symbol;
            continue;
        }
        if (symbol == 256)
            return to;
        int size = symbol - 257, extra = size < 8 ? 0 : (size >> 2) - 1;
        u64 count = size < 8 ? size + 3 : size == 28 ? 258 : ((4 + (size & 3)) << extra) + 3 + take(in, extra);
        if (size == 28)
            extra = 0;
        int far = decode(in, distances);
        if (size > 28 || far >= DISTANCES)
            return 0;
        int more = far < 4 ? 0 : (far >> 1) - 1;
        u64 back = far < 4 ? far + 1 : ((2ul + (far & 1)) << more) + 1 + take(in, more);
        if (in->broken || back > (u64)(to - begin) || count > (u64)(end - to))
            return 0;
        for (; count; count--, to++)
            *to = to[-(long)back];
    }
}

/* Return 0 where a stream comes to just so many bytes. */
static int inflate(const u8 *from, u64 packed, u8 *to, u64 plain)
{
    static struct code literals, distances;
    struct bits in = {from, from + packed, 0, 0, 0};
    u8 *begin = to, *end = to + plain;
    for (u32 last = 0; !last;) {
        last = take(&in, 1);
        u32 kind = take(&in, 2);
        if (kind == 0) {
            take(&in, in.count & 7);
            u32 count = take(&in, 16), check = take(&in, 16);
            if (in.broken || count != (~check & 65535) || count > (u64)(end - to))
                return -1;
            for (; count && !in.broken; count--)
                *to++ = take(&in, 8);
        } else {
            if (kind == 3 || (kind == 1 ? fixed_codes(&literals, &distances) : read_codes(&in, &literals, &distances)))
                return -1;
            to = block(&in, &literals, &distances, begin, to, end);
        }
        if (!to || in.broken)
            return -1;
    }
    return to == end ? 0 : -1;
}

/* Encoded words: what is encoded decodes to itself; a header field that is made ASCII still says the same, and its
 * addresses are the same. */
#include "mime/naive.h"
#include "mime/words.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void judge_words(struct slice text, size_t first_max)
{
    struct strbuf words = STRBUF_INIT, back = STRBUF_INIT;
    mime_word_encode(&words, text, first_max);
    words_decode(&back, strbuf_slice(&words));
    require(slice_is_ascii(strbuf_slice(&words)) && slice_eq(strbuf_slice(&back), text));
    struct slice rest = strbuf_slice(&words);
    for (size_t max = first_max; rest.n > 0; max = MIME_WORD_MAX) {
        struct slice word, one;
        rest = slice_cut(rest, ' ', &word);
        require(word.n <= max);
        strbuf_reset(&back);
        require(words_decode_one(&back, word));
        one = strbuf_slice(&back); /* RFC 2047 5: a character is not split */
        require(!slice_is_utf8(text) || slice_is_utf8(one));
    }
    strbuf_free(&words);
    strbuf_free(&back);
}

static void same_text(struct slice before, struct slice after)
{
    struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;
    words_decode(&a, before);
    words_decode(&b, after);
    require(slice_eq(strbuf_slice(&a), strbuf_slice(&b)));
    strbuf_free(&a);
    strbuf_free(&b);
}

static void same_addresses(struct slice before, struct slice after)
{
    struct arena a = ARENA_INIT(0);
    struct mailbox_list x, y;
    if (mailbox_list_parse(&a, before, ADDRESS_GROUPS, &x, NULL) == 0) {
        require(mailbox_list_parse(&a, after, ADDRESS_GROUPS, &y, NULL) == 0 && x.n == y.n);
        for (size_t i = 0; i < x.n; i++)
            require(slice_eq(x.v[i].local, y.v[i].local) && slice_eq(x.v[i].domain, y.v[i].domain) &&
                    (x.v[i].display.n > 0) == (y.v[i].display.n > 0));
    }
    arena_free(&a);
}

static void judge_field(const char *name, struct slice value)
{
    struct strbuf header = STRBUF_INIT, new_header = STRBUF_INIT, body = STRBUF_INIT;
    struct arena a = ARENA_INIT(0);
    struct field_list fields;
    struct mime_report r;
    struct err err;
    strbuf_addf(&header, "%s: ", name);
    strbuf_add_slice(&header, value);
    strbuf_add_str(&header, "\r\n");
    if (naive_normalise(strbuf_slice(&header), SLICE(""), false, &new_header, &body, &r, &err) == 0) {
        require(slice_is_ascii(strbuf_slice(&new_header)) &&
                naive_line_max(strbuf_slice(&new_header)) <= MESSAGE_LINE_MAX);
        require(fields_parse(&a, strbuf_slice(&new_header), &fields, NULL) == 0 && fields.n == 1);
        if (strcmp(name, "Subject") == 0)
            same_text(value, fields.v[0].value);
        else if (strcmp(name, "To") == 0)
            same_addresses(value, fields.v[0].value);
    }
    strbuf_free(&header);
    strbuf_free(&new_header);
    strbuf_free(&body);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice text = slice_from(data + 1, size - 1);
    judge_words(text, 40 + data[0] % 36u);
    struct strbuf line = STRBUF_INIT;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '\0' && text.p[i] != '\r' && text.p[i] != '\n')
            strbuf_add_char(&line, text.p[i]);
    }
    judge_field("Subject", strbuf_slice(&line));
    judge_field("To", strbuf_slice(&line));
    judge_field("Keywords", strbuf_slice(&line));
    judge_field("Content-Disposition", strbuf_slice(&line));
    strbuf_free(&line);
    return 0;
}

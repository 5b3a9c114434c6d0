/* tests/testing.h - what every unit test needs: Check, and a main that runs one suite. */
#ifndef SENDAS_TESTING_H
#define SENDAS_TESTING_H

#include "sendas/base.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* TEST_MAIN(suite_function): runs the suite; exit 0 when every test passed. */
#define TEST_MAIN(make_suite)                                                              \
    int main(void)                                                                         \
    {                                                                                      \
        SRunner *runner = srunner_create(make_suite());                                    \
        srunner_run_all(runner, CK_NORMAL);                                                \
        int failed = srunner_ntests_failed(runner);                                        \
        srunner_free(runner);                                                              \
        return failed == 0 ? 0 : 1;                                                        \
    }

#define ck_assert_slice_eq(s, cstr)                                                        \
    do {                                                                                   \
        struct slice got_ = (s);                                                           \
        struct slice want_ = slice_of(cstr);                                               \
        ck_assert_msg(slice_eq(got_, want_), "got \"%.*s\", want \"%s\"", SLICE_ARG(got_), want_.p); \
    } while (0)

#endif

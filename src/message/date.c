/* Dates as a header field bears them (RFC 5322 3.3). */
#include "sendas/message.h"

void date_format(time_t when, char out[DATE_SIZE])
{
    /* not strftime: its names follow the locale */
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm;
    if (gmtime_r(&when, &tm) == NULL || tm.tm_year + 1900L < 1900 || tm.tm_year + 1900L > 9999) {
        /* RFC 5322 3.3: no year before 1900; four digits are what readers know.  A clock so wrong shows as the epoch.
         */
        time_t epoch = 0;
        gmtime_r(&epoch, &tm);
    }
    snprintf(out, DATE_SIZE, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>

#include "region.h"

int
hwy_fail(char *err, int code, const char *format, ...)
{
	va_list args;

	if (err != NULL) {
		va_start(args, format);
		vsnprintf(err, HWY_ERR_SIZE, format, args);
		va_end(args);
	}
	return code;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables for people: columns as wide as their widest cell. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "highwayctl.h"

void
hwy_table_column(struct hwy_table *t, const char *head)
{
	if (t->columns < HWY_TABLE_COLUMNS)
		t->head[t->columns++] = head;
}

void
hwy_table_cell(struct hwy_table *t, const char *format, ...)
{
	char **cells = reallocarray(t->cells, t->n + 1, sizeof(cells[0]));
	va_list args;

	if (cells == NULL)
		abort();
	t->cells = cells;
	va_start(args, format);
	if (vasprintf(&cells[t->n++], format, args) < 0)
		abort();
	va_end(args);
}

static void
print_cell(FILE *out, const char *text, size_t width, bool right, bool last)
{
	if (right)
		fprintf(out, "%*s", (int)width, text);
	else
		fprintf(out, "%-*s", last ? 0 : (int)width, text);
	fputs(last ? "\n" : "  ", out);
}

void
hwy_table_print(struct hwy_table *t, FILE *out, const char *empty)
{
	size_t width[HWY_TABLE_COLUMNS];

	for (size_t c = 0; c < t->columns; c++) {
		width[c] = strlen(t->head[c]) - (t->head[c][0] == '>');
		for (size_t i = c; i < t->n; i += t->columns) {
			if (strlen(t->cells[i]) > width[c])
				width[c] = strlen(t->cells[i]);
		}
	}
	if (t->n == 0)
		fprintf(out, "  %s\n", empty);
	for (size_t c = 0; t->n != 0 && c < t->columns; c++) {
		bool right = t->head[c][0] == '>';

		fputs(c == 0 ? "  " : "", out);
		print_cell(out, t->head[c] + right, width[c], right, c + 1 == t->columns);
	}
	for (size_t i = 0; i < t->n; i++) {
		size_t c = i % t->columns;

		fputs(c == 0 ? "  " : "", out);
		print_cell(out, t->cells[i], width[c], t->head[c][0] == '>', c + 1 == t->columns);
		free(t->cells[i]);
	}
	free(t->cells);
	memset(t, 0, sizeof(*t));
}

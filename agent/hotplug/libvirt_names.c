/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of plugs as libvirt knows them: see libvirt_names.h. */
#include <config.h>

#include "libvirt_names.h"

#include <ctype.h>
#include <string.h>

#define DEVICE  "ua-hwy-"
#define BACKEND "shmmem-ua-hwy-"
#define OBJECTS "/objects/hwy-"
#define DEVICES "/machine/peripheral/hwy-"

static size_t
name_length(const char *name)
{
	size_t n = 0;

	while (isalnum((unsigned char)name[n]) || strchr("._-", name[n] != 0 ? name[n] : ' '))
		n++;
	return n;
}

static bool
starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

void
hwy_libvirt_from(const char *text, struct ds *out)
{
	while (*text != 0) {
		if (starts(text, BACKEND)) {
			size_t n = name_length(text + strlen(BACKEND));

			ds_put_format(out, "hwy-%.*s-mem", (int)n, text + strlen(BACKEND));
			text += strlen(BACKEND) + n;
		} else if (starts(text, DEVICE)) {
			ds_put_cstr(out, "hwy-");
			text += strlen(DEVICE);
		} else {
			ds_put_char(out, *text++);
		}
	}
}

void
hwy_libvirt_to(const char *text, struct ds *out)
{
	while (*text != 0) {
		if (starts(text, OBJECTS)) {
			const char *name = text + strlen(OBJECTS);
			size_t n = name_length(name);
			bool mem = n > 4 && !strncmp(name + n - 4, "-mem", 4);

			ds_put_format(out, "/objects/%s%.*s", mem ? BACKEND : "hwy-",
				      (int)(mem ? n - 4 : n), name);
			text = name + n;
		} else if (starts(text, DEVICES)) {
			ds_put_cstr(out, "/machine/peripheral/" DEVICE);
			text += strlen(DEVICES);
		} else {
			ds_put_char(out, *text++);
		}
	}
}

bool
hwy_libvirt_plug_name(const char *id, bool backend, struct ds *out)
{
	size_t n = id != NULL && starts(id, "hwy-") ? name_length(id + 4) : 0;

	if (n == 0 || id[4 + n] != 0)
		return false;
	if (backend) {
		if (n <= 4 || strcmp(id + 4 + n - 4, "-mem") != 0)
			return false;
		n -= 4;
	}
	ds_put_format(out, "%.*s", (int)n, id + 4);
	return true;
}

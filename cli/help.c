/* SPDX-License-Identifier: BSD-3-Clause */
/* highwayctl help.  highwayctl(1) says it at length. */
#include <string.h>

#include "highwayctl.h"

static const char general[] =
	"usage: highwayctl [OPTION]... COMMAND\n"
	"\n"
	"Shows the ports and links of Highway's domains, and switches the bypass off and on.\n"
	"\n"
	"commands:\n"
	"  show [domain DOMAIN | port PORT | links]   what there is, in tables or as JSON\n"
	"  top                                        rates, again and again\n"
	"  set port PORT bypass=on|off                let, or do not let, a port bypass the "
	"switch\n"
	"  set domain DOMAIN bypass=on|off            the same for all ports of a domain\n"
	"  set port PORT guest=gone|paused|running    what is known of its virtual machine\n"
	"  qemu-args PORT | libvirt-xml PORT          what shows a port to a virtual machine\n"
	"  check [DOMAIN]                             does everything add up?\n"
	"  explain PORT                               why is, or is not, a port bypassed?\n"
	"  ports | links | domains | bridges          what highwayd knows of them\n"
	"  machines                                   and of virtual machines\n"
	"  events [HOW-MANY]                          what happened, the latest last\n"
	"  watch [PORT]                               ports, links and events, live\n"
	"  help [COMMAND]                             more about a command\n"
	"\n"
	"options:\n"
	"  -d, --dir DIR        look for regions in DIR too; may be repeated\n"
	"  -D, --domain DOMAIN  this domain only: a name, or the path of a region file\n"
	"  -a, --agent AGENT    highwayd's name or socket, default HIGHWAY_AGENT or highwayd\n"
	"  -h, --help           this text, or a command's\n"
	"  -V, --version        the version\n"
	"\n"
	"Regions are looked for in the folders that --dir names, then in those of the\n"
	"environment's HIGHWAY_DIR (separated by colons), then in the default ones:\n";

#define AGENT                                                                                      \
	"\n"                                                                                       \
	"  -a, --agent AGENT    highwayd's name or socket, default HIGHWAY_AGENT or highwayd\n"    \
	"  -j, --json           as JSON, see highwayd(8)\n"

static const struct {
	const char *command;
	const char *text;
} texts[] = {
	{"show", "usage: highwayctl [OPTION]... show [domain DOMAIN | port PORT | links]\n"
		 "\n"
		 "Shows everything, one domain, one port with its links, or the links only.\n"
		 "NORMAL are packets by the switch, received and sent by the guest end that is\n"
		 "attached; BYPASSED those by links, out of and into the port since it was made.\n"
		 "\n"
		 "  -d, --dir DIR        look for regions in DIR too; may be repeated\n"
		 "  -D, --domain DOMAIN  this domain only: a name, or the path of a region file\n"
		 "  -r, --rates          add packets and bits per second, from two samples\n"
		 "  -i, --interval S     seconds between these, default 1\n"
		 "  -j, --json           as JSON, see highwayctl(1)\n"},
	{"qemu-args",
	 "usage: highwayctl [OPTION]... qemu-args PORT\n"
	 "\n"
	 "Prints the arguments of QEMU that give a virtual machine the region of the port, as\n"
	 "an ivshmem-plain device: its DPDK applications need nothing but the plug-in then.\n"},
	{"libvirt-xml", "usage: highwayctl [OPTION]... libvirt-xml PORT\n"
			"\n"
			"Prints the same as XML, to be put into a <domain> of libvirt.\n"},
	{"top",
	 "usage: highwayctl [OPTION]... top\n"
	 "\n"
	 "Shows the rates of all links and ports, over and over: on a terminal in place, else\n"
	 "one block after the other.  IN is what the port's VNF receives, OUT what it sends.\n"
	 "\n"
	 "  -d, --dir DIR        look for regions in DIR too; may be repeated\n"
	 "  -D, --domain DOMAIN  this domain only: a name, or the path of a region file\n"
	 "  -i, --interval S     seconds between two samples, default 1\n"
	 "  -n, --count N        end after N times\n"},
	{"set",
	 "usage: highwayctl [OPTION]... set port PORT bypass=on|off\n"
	 "       highwayctl [OPTION]... set domain DOMAIN bypass=on|off\n"
	 "\n"
	 "Writes whether packets from and to the port, or in the domain, may bypass the switch,\n"
	 "and waits up to 2 seconds until the host has acted upon it.\n"
	 "\n"
	 "  -d, --dir DIR        look for regions in DIR too; may be repeated\n"
	 "  -D, --domain DOMAIN  the port's domain: a name, or the path of a region file\n"
	 "      --no-wait        do not wait\n"},
	{"check",
	 "usage: highwayctl [OPTION]... check [DOMAIN]\n"
	 "\n"
	 "Counts the buffers, and looks for clients that died, buffers and rings that nobody\n"
	 "holds any more, routes and links that contradict each other.  What is wrong has to\n"
	 "stay so for a second.  The exit status is 1 if anything is.\n"
	 "\n"
	 "  -d, --dir DIR        look for regions in DIR too; may be repeated\n"
	 "  -D, --domain DOMAIN  this domain only: a name, or the path of a region file\n"},
	{"explain",
	 "usage: highwayctl [OPTION]... explain PORT\n"
	 "\n"
	 "Asks highwayd why the port does, or does not, bypass the switch: by which rule (bridge,\n"
	 "table, priority, cookie, match), for which reason of policy, and what the region makes\n"
	 "of it.  PORT is an interface of Open vSwitch, DOMAIN/PORT, or a port of a "
	 "domain.\n" AGENT},
	{"ports",
	 "usage: highwayctl [OPTION]... ports\n"
	 "\n"
	 "The ports that highwayd follows: whether policy permits a bypass, where all packets\n"
	 "provably go, and how they travel now: by the switch, some classes by links, or all\n"
	 "by proof.  As JSON, all that explain says of each.\n" AGENT},
	{"links", "usage: highwayctl [OPTION]... links\n"
		  "\n"
		  "The links of the domains that highwayd follows, with their counters.\n" AGENT},
	{"domains", "usage: highwayctl [OPTION]... domains\n"
		    "\n"
		    "The domains that highwayd follows, and what keeps it from that.\n" AGENT},
	{"bridges", "usage: highwayctl [OPTION]... bridges\n"
		    "\n"
		    "The bridges whose rules highwayd follows.\n" AGENT},
	{"machines", "usage: highwayctl [OPTION]... machines\n"
		     "\n"
		     "The virtual machines whose monitors highwayd follows.\n" AGENT},
	{"events",
	 "usage: highwayctl [OPTION]... events [HOW-MANY]\n"
	 "\n"
	 "What happened: proofs given and withdrawn, ports permitted and prohibited, links opened\n"
	 "and closed, bridges and domains that came and went; the latest HOW-MANY.\n" AGENT},
	{"watch",
	 "usage: highwayctl [OPTION]... watch [PORT]\n"
	 "\n"
	 "Ports, links and the latest events, or explain of one port, over and over: on a\n"
	 "terminal in place, else one block after the other.\n" AGENT
	 "  -i, --interval S     seconds in between, default 1\n"
	 "  -n, --count N        end after N times\n"},
	{"help", "usage: highwayctl help [COMMAND]\n"},
};

bool
hwy_help(FILE *out, const char *command)
{
	if (command == NULL) {
		fputs(general, out);
		for (size_t i = 0; hwy_default_dirs[i] != NULL; i++)
			fprintf(out, "  %s\n", hwy_default_dirs[i]);
		return true;
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(texts[i].command, command) == 0) {
			fputs(texts[i].text, out);
			return true;
		}
	}
	return false;
}

int
hwy_cmd_help(const struct hwy_options *options, int argc, char **argv)
{
	(void)options;
	if (argc > 1)
		return hwy_misused("help takes at most the name of one command");
	if (!hwy_help(stdout, argc == 1 ? argv[0] : NULL))
		return hwy_misused("there is no command '%s'", argv[0]);
	return HWY_EXIT_OK;
}

/* Stands in for the drop-in: has its soname, leaves word as the library does, allocates nothing.
 * With -DRIVAL it is another libtalloc, which leaves no word. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int talloc_version_major(void)
{
#ifdef RIVAL
	return 1;
#else
	return 2;
#endif
}

#ifndef RIVAL
/* The value of an option, in a static buffer; NULL when it is not set. */
static const char *option(const char *name)
{
	static char all[4096];
	const char *last = NULL;
	const char *set = getenv("TMEMPOOL_OPTIONS");

	snprintf(all, sizeof(all), "%s", set ? set : "");
	for (char *word = strtok(all, ","); word != NULL; word = strtok(NULL, ","))
		if (strncmp(word, name, strlen(name)) == 0 && word[strlen(name)] == '=')
			last = word + strlen(name) + 1;
	return last;
}

static void append(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			abort();
		close(fd);
	}
}

__attribute__((constructor)) static void at_load(void)
{
	const char *path = option("notify");
	char line[64];

	if (path == NULL)
		return;
	snprintf(line, sizeof(line), "%d /the/drop-in\n", (int)getpid());
	append(path, line);
}

__attribute__((destructor)) static void at_exit(void)
{
	const char *pattern = option("report");
	const char *mark = pattern ? strstr(pattern, "%p") : NULL;
	char path[4200], text[128];

	if (mark == NULL)
		return;
	snprintf(path, sizeof(path), "%.*s%d%s", (int)(mark - pattern), pattern, (int)getpid(), mark + 2);
	snprintf(text, sizeof(text), "tmempool report of fixture[%d]\n\n", (int)getpid());
	append(path, text);
}
#endif

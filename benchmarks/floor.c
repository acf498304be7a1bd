/* The least that any program must do: make the label files with their bytes, and the hard links.
 *
 *   floor LIST TARGET PICTURES
 *
 * LIST holds records that end in a zero byte: "D<folder>", then for each file in it
 * "F<name>" and a 32-bit length and the bytes, or "L<name>" and the name of its source under PICTURES and a zero byte.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void make_folder(int root, char *path)
{
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdirat(root, path, 0777); /* its parent may be there already */
        *slash = '/';
    }
    if (mkdirat(root, path, 0777) != 0)
        fail(path);
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    int list = open(arguments[1], O_RDONLY);
    int root = open(arguments[2], O_RDONLY | O_DIRECTORY);
    int pictures = open(arguments[3], O_RDONLY | O_DIRECTORY);
    struct stat status;
    if (list < 0 || root < 0 || pictures < 0 || fstat(list, &status) != 0)
        fail("open");
    char *at = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, list, 0);
    if (at == MAP_FAILED)
        fail("mmap");

    int folder = -1;
    for (char *end = at + status.st_size; at < end;) {
        char kind = *at;
        char *name = at + 1;
        at = name + strlen(name) + 1;
        if (kind == 'D') {
            if (folder >= 0)
                close(folder);
            make_folder(root, name);
            folder = openat(root, name, O_RDONLY | O_DIRECTORY);
            if (folder < 0)
                fail(name);
        } else if (kind == 'F') {
            uint32_t length;
            memcpy(&length, at, sizeof length);
            at += sizeof length;
            int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
            if (file < 0 || (length && write(file, at, length) != (ssize_t)length) || close(file) != 0)
                fail(name);
            at += length;
        } else {
            if (linkat(pictures, at, folder, name, 0) != 0)
                fail(name);
            at += strlen(at) + 1;
        }
    }
    return 0;
}

/* The least that any program must do: make the label files with their bytes, and the hard links; or open and read
 * every file of a folder.
 *
 *   floor write LIST TARGET PICTURES
 *   floor read FOLDER
 *
 * LIST holds records that end in a zero byte: "D<folder>", then for each file in it
 * "F<name>" and a 32-bit length and the bytes, or "L<name>" and the name of its source under PICTURES and a zero byte.
 */
#define _GNU_SOURCE
#include <dirent.h>
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

static int write_all(const char *list_path, const char *target, const char *source)
{
    int list = open(list_path, O_RDONLY);
    int root = open(target, O_RDONLY | O_DIRECTORY);
    int pictures = open(source, O_RDONLY | O_DIRECTORY);
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
            if (length) {
                int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
                if (file < 0 || write(file, at, length) != (ssize_t)length || close(file) != 0)
                    fail(name);
            } else if (mknodat(folder, name, S_IFREG | 0666, 0) != 0) { /* one call instead of two */
                fail(name);
            }
            at += length;
        } else {
            if (linkat(pictures, at, folder, name, 0) != 0)
                fail(name);
            at += strlen(at) + 1;
        }
    }
    return 0;
}

static int read_all(const char *path)
{
    static char bytes[1 << 20];
    DIR *folder = opendir(path);
    if (!folder)
        fail(path);
    long files = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        int file = openat(dirfd(folder), entry->d_name, O_RDONLY);
        if (file < 0)
            fail(entry->d_name);
        ssize_t length;
        while ((length = read(file, bytes, sizeof bytes)) > 0)
            ;
        if (length < 0 || close(file) != 0)
            fail(entry->d_name);
        files++;
    }
    printf("%ld\n", files);
    return 0;
}

int main(int count, char **arguments)
{
    if (count == 5 && strcmp(arguments[1], "write") == 0)
        return write_all(arguments[2], arguments[3], arguments[4]);
    if (count == 3 && strcmp(arguments[1], "read") == 0)
        return read_all(arguments[2]);
    return 2;
}

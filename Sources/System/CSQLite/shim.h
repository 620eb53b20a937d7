// SQLite for Swift. SQLITE_STATIC and SQLITE_TRANSIENT are casts and do not import.
#pragma once
#include <errno.h>
#include <sqlite3.h>

/// Binds bytes that stay where they are until the statement is reset. A NULL pointer with size 0 is an empty blob.
static inline int csqlite_bind_static_blob(sqlite3_stmt *statement, int index, const void *bytes, sqlite3_uint64 size) {
    return sqlite3_bind_blob64(statement, index, size ? bytes : "", size, SQLITE_STATIC);
}

/// Binds a text that SQLite copies.
static inline int csqlite_bind_text(sqlite3_stmt *statement, int index, const char *text) {
    return sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT);
}

/// `sqlite3_db_config` is variadic and does not import.
static inline void csqlite_no_checkpoint_on_close(sqlite3 *database) {
    (void)sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}

/// Binds so many bytes of text, zeros among them, that SQLite copies.
static inline int csqlite_bind_text_bytes(sqlite3_stmt *statement, int index, const char *text, int size) {
    return sqlite3_bind_text(statement, index, text, size, SQLITE_TRANSIENT);
}

// `sqlite3_system_errno` is not set by a COMMIT that fails: these say which error of the system it was, 0 for none.
static inline int csqlite_step(sqlite3_stmt *statement, int *system_error) {
    errno = 0;
    int code = sqlite3_step(statement);
    *system_error = errno;
    return code;
}

static inline int csqlite_prepare(sqlite3 *database, const char *sql, sqlite3_stmt **statement, int *system_error) {
    errno = 0;
    int code = sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, 0);
    *system_error = errno;
    return code;
}

static inline int csqlite_exec(sqlite3 *database, const char *sql, int *system_error) {
    errno = 0;
    int code = sqlite3_exec(database, sql, 0, 0, 0);
    *system_error = errno;
    return code;
}

static inline int csqlite_checkpoint(sqlite3 *database, int mode, int *pages, int *copied, int *system_error) {
    errno = 0;
    int code = sqlite3_wal_checkpoint_v2(database, 0, mode, pages, copied);
    *system_error = errno;
    return code;
}

/// Reads the database file and its log from the disk, without SQLite's cache.
static inline int csqlite_read_all(sqlite3 *database, int *system_error) {
    static const int operations[] = {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER};
    char buffer[65536];
    for (int index = 0; index < 2; index++) {
        sqlite3_file *file = 0;
        sqlite3_int64 size = 0;
        int code = sqlite3_file_control(database, "main", operations[index], &file);
        if (code == SQLITE_OK && file && file->pMethods) code = file->pMethods->xFileSize(file, &size);
        for (sqlite3_int64 at = 0; code == SQLITE_OK && at < size; at += (sqlite3_int64)sizeof buffer) {
            sqlite3_int64 left = size - at;
            errno = 0;
            code = file->pMethods->xRead(file, buffer, left < (sqlite3_int64)sizeof buffer ? (int)left : (int)sizeof buffer, at);
            *system_error = errno;
        }
        if (code != SQLITE_OK) return code;
    }
    return SQLITE_OK;
}

// Macros of expressions do not import.
static const int csqlite_ioerr_short_read = SQLITE_IOERR_SHORT_READ;
static const int csqlite_ioerr_read = SQLITE_IOERR_READ;
static const int csqlite_ioerr_corruptfs = SQLITE_IOERR_CORRUPTFS;
static const int csqlite_ioerr_fsync = SQLITE_IOERR_FSYNC;
static const int csqlite_ioerr_dir_fsync = SQLITE_IOERR_DIR_FSYNC;

#pragma once
// The version of the library, service and command; they are released together.

#define RINGLOG_VERSION_MAJOR 0
#define RINGLOG_VERSION_MINOR 1
#define RINGLOG_VERSION_PATCH 0
#define RINGLOG_VERSION "0.1.0"

#pragma once
// RINGLOG_API marks what the shared library exports; everything else is hidden.

#define RINGLOG_API __attribute__((visibility("default")))

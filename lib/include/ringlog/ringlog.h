#pragma once
// ringlog: metrics from many processes, logged without slowing them down.  Start at run.h.

#include <ringlog/handle.h>
#include <ringlog/histogram.h>
#include <ringlog/live.h>
#include <ringlog/result.h>
#include <ringlog/run.h>
#include <ringlog/settings.h>
#include <ringlog/value.h>
#include <ringlog/version.h>

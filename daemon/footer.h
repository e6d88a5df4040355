#pragma once
// What a program that finishes shows of its run: its summary, and how that came to be.
//
// Plain function; reads the store for at most kFooterTimeMs.

#include <string>

#include "store/reader.h"

namespace ringlog::service {

// The answer to the request `footer`; an empty one when the run cannot be read.
std::string footer_reply(store::RunReader& reader);

}  // namespace ringlog::service

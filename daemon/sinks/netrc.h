#pragma once
// ~/.netrc, for a server whose requests need the password in another form than curl sends it.
//
// Plain functions; safe from any thread.  Blocks for the disk.

#include <optional>
#include <string>
#include <string_view>

namespace ringlog::service {

// The password of a host in the text of a netrc file; of `default` where the host is not named.
std::optional<std::string> netrc_password(std::string_view text, std::string_view host);
// The same from $NETRC, else ~/.netrc; nothing where it cannot be read.
std::optional<std::string> netrc_password(std::string_view host);

}  // namespace ringlog::service

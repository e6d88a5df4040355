#include "store/file_system.h"

#include <sys/vfs.h>

#include <array>
#include <cstdint>
#include <cstdio>

namespace ringlog::store {

namespace {

struct KnownType {
  uint64_t magic;  // statfs(2): f_type
  const char* name;
  bool is_shared;
};
// From <linux/magic.h> and, of those outside the kernel, from their own sources.
constexpr std::array kKnownTypes = {
    KnownType{0x6969, "nfs", true},          KnownType{0x65735546, "fuse", true},
    KnownType{0x1021997, "9p", true},        KnownType{0xff534d42, "cifs", true},
    KnownType{0xfe534d42, "smb", true},      KnownType{0x517b, "smb", true},
    KnownType{0xc36400, "ceph", true},       KnownType{0xbd00bd0, "lustre", true},
    KnownType{0x47504653, "gpfs", true},     KnownType{0x19830326, "beegfs", true},
    KnownType{0x5346414f, "afs", true},      KnownType{0x6b414653, "afs", true},
    KnownType{0x73757245, "coda", true},     KnownType{0x1161970, "gfs2", true},
    KnownType{0x7461636f, "ocfs2", true},    KnownType{0x20030528, "orangefs", true},
    KnownType{0x786f4256, "vboxsf", true},   KnownType{0xbacbacbc, "vmhgfs", true},
    KnownType{0x13111a8, "ibrix", true},     KnownType{0xaad7aaea, "panfs", true},
    KnownType{0xef53, "ext4", false},        KnownType{0x58465342, "xfs", false},
    KnownType{0x9123683e, "btrfs", false},   KnownType{0x2fc12fc1, "zfs", false},
    KnownType{0xf2f52010, "f2fs", false},    KnownType{0xca451a4e, "bcachefs", false},
    KnownType{0x794c7630, "overlay", false}, KnownType{0x1021994, "tmpfs", false},
};

}  // namespace

FileSystem file_system_of(int fd) {
  struct statfs info {};
  if (::fstatfs(fd, &info) != 0) return {"unknown", false};
  const auto magic = static_cast<uint32_t>(info.f_type);
  for (const KnownType& type : kKnownTypes) {
    if (type.magic == magic) return {type.name, type.is_shared};
  }
  std::array<char, 16> number{};
  std::snprintf(number.data(), number.size(), "0x%x", magic);
  return {number.data(), false};
}

}  // namespace ringlog::store

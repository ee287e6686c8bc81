// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/unique_descriptor.hpp>

#include <unistd.h>

namespace cosock {

void unique_descriptor::close() noexcept {
  if (fd_ >= 0) ::close(release());
}

}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Apart from the header, so that it need not include <unistd.h>.

#include <cosock/unique_descriptor.hpp>

#include "loop/system.hpp"

namespace cosock {

void unique_descriptor::close() noexcept {
  if (fd_ >= 0) detail::system::close(release());
}

}  // namespace cosock

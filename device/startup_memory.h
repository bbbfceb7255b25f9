// Memory that only starting needed.
#pragma once

namespace fleet::device {

// Unmaps the pages of program and libraries that were read for linking and initialising, OpenSSL's foremost: 8 MB that
// the agent never looks at again. They come back from the page cache, one by one, when they are wanted after all. Only
// pages that nobody can have written are touched. Any thread, at any time; best once, after everything is set up.
void ReleaseStartupMemory();

}  // namespace fleet::device

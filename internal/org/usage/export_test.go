package usage

// NewSmallMemory returns a counter whose shards hold few keys, so that tests fill it quickly.
func NewSmallMemory(perShard int) *MemoryCounter { return newMemory(perShard) }

// Shards is the number of shards.
const Shards = shards

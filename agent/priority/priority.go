// Package priority keeps an agent alive in a workspace that is busy: the agent runs
// before the workspace's programs, and is not the first that the system ends when
// memory runs out.
//
// [Raise] does it as far as the system lets it, for the whole process. What the agent
// then starts, it starts with [Raised.Start], as if nothing had been raised: programs
// of people neither outrun others nor outlive them.
package priority

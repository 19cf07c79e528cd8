package redistest

// Faults counts what a [Proxy] did to the traffic. A test that relies on a fault checks here that
// the fault took place.
type Faults struct {
	Delayed            int64 // frames delayed by SetDelay
	Held               int64 // frames and new connections held by a black hole
	RepliesCut         int64 // by CutNextReply
	RepliesLost        int64 // by LoseNextReply; later replies on the same connection do not count
	RequestsCut        int64 // by CutNextRequest
	MessagesDropped    int64
	MessagesDelayed    int64
	MessagesDuplicated int64
	Refused            int64 // new connections closed by Refuse
	Closed             int64 // existing connections closed by Refuse and CloseAll
	Sliced             int64 // frames written byte by byte
	Answered           int64 // requests, by Answer
}

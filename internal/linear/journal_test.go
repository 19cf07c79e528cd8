package linear

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// event is a line of a client process's journal: something that happened to a
// request for a hold, or to the hold that came of it.
type event struct {
	What what  `json:"e"`
	Hold int64 `json:"h"`
	T    int64 `json:"t"`

	// of asked
	Client  int    `json:"c,omitempty"`
	Key     string `json:"k,omitempty"`
	Request *want  `json:"r,omitempty"`
	// of answered and released
	Result Result `json:"o,omitempty"`
	Err    string `json:"x,omitempty"` // of a result that is Failed
	Fence  int64  `json:"f,omitempty"`
}

type what string

const (
	asked    what = "asked"
	answered what = "answered"
	believed what = "believed" // Err, called after T, returned nil
	told     what = "told"     // Err returned ErrLost
	release  what = "release"
	released what = "released"
)

// want is what a client asks for.
type want struct {
	Try    bool  `json:"t,omitempty"`
	Chan   bool  `json:"c,omitempty"`
	Shared bool  `json:"s,omitempty"`
	N      int64 `json:"n,omitempty"`
}

// pen writes a journal, a line by one write: what was written survives the death
// of the process.
type pen struct{ file *os.File }

func (p pen) write(e event) {
	line, err := json.Marshal(e)
	must(err)
	_, err = p.file.Write(append(line, '\n'))
	must(err)
}

// journal reads what a pen has written so far.
type journal struct {
	file *os.File
	rest []byte // a line that has begun
}

func (j *journal) read(each func(event)) error {
	more, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	j.rest = append(j.rest, more...)
	for {
		line, rest, whole := bytes.Cut(j.rest, []byte("\n"))
		if !whole {
			return nil
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%s: %q: %w", j.file.Name(), line, err)
		}
		each(e)
		j.rest = rest
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

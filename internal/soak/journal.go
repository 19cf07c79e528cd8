package main

import (
	"io"
	"os"
)

// A pen writes a journal, an event by one write: what was written survives the
// death of the process.
type pen struct{ file *os.File }

func (p pen) write(e event) error {
	_, err := p.file.Write(e.append(make([]byte, 0, eventSize)))
	return err
}

// A journal reads what pens have written so far.
type journal struct {
	file *os.File
	rest []byte // an event that has begun
}

func (j *journal) read(each func(event)) error {
	more, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	j.rest = append(j.rest, more...)
	for len(j.rest) >= eventSize {
		each(newEvent(j.rest))
		j.rest = j.rest[eventSize:]
	}
	return nil
}

package main

import (
	"io"
	"os"
)

// An eventWriter writes a journal, an event by one write: what was written survives the
// death of the process.
type eventWriter struct{ file *os.File }

func (p eventWriter) write(e event) error {
	_, err := p.file.Write(e.append(make([]byte, 0, eventSize)))
	return err
}

// An eventLog reads what pens have written so far.
type eventLog struct {
	file *os.File
	rest []byte // an event that has begun
}

func (j *eventLog) read(each func(event)) error {
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

package main

func (l *lab) upload() (*report, error) { return nil, nil }
func (l *lab) lfn() (*report, error) { return nil, nil }
func (l *lab) wait() (*report, error) { return nil, nil }
func (l *lab) resume() (*report, error) { return nil, nil }

// Command subject is the process that is measured: an upload by this SDK or by
// what it is compared with, many waiters, or a resumed upload. It links no
// peer's code, whose start-up would count as memory. It prints its findings as
// JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: subject upload|wait|resume flags")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	var run func(context.Context) (any, error)
	switch os.Args[1] {
	case "upload":
		run = upload(flags)
	case "wait":
		run = wait(flags)
	case "resume":
		run = resume(flags)
	default:
		log.Fatalf("unknown command %q", os.Args[1])
	}
	_ = flags.Parse(os.Args[2:]) // exits on error
	found, err := run(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	out, err := json.Marshal(found)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out))
}

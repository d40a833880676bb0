// Command dashboards writes the mesh's Grafana dashboards and what provisions them.
//
//	go run ./dashboards -out dashboards/json     write the files
//	go run ./dashboards -verify dashboards/json  say in words what differs from the files
//	go run ./dashboards -list                    count dashboards, panels, queries
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// dashboards, in the order of the list.
var dashboards = []page{salesPerformance, marketingROI, customerJourney, executiveKPIs, salesAPI, meshHealth}

// dataSourceType is the id of the PostgreSQL plugin from Grafana 10.2.3 on;
// older servers know it as "postgres".
var dataSourceType = "grafana-postgresql-datasource"

func main() {
	code, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
	}
	os.Exit(code)
}

// run exits with 0, 1 when the files differ or cannot be written, 2 on wrong usage.
func run(args []string, stdout io.Writer) (int, error) {
	flags := flag.NewFlagSet("dashboards", flag.ContinueOnError)
	out := flags.String("out", "", "write the files into this folder")
	verify := flags.String("verify", "", "compare with the files of this folder")
	list := flags.Bool("list", false, "count dashboards, panels and queries")
	flags.StringVar(&dataSourceType, "datasource-type", dataSourceType, `id of the PostgreSQL plugin; "postgres" before Grafana 10.2.3`)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0, nil
	} else if err != nil {
		return 2, nil //nolint:nilerr // the flag package has said it
	}
	if flags.NArg() > 0 || *out == "" && *verify == "" && !*list {
		return 2, errors.New("say -out FOLDER, -verify FOLDER or -list")
	}
	files, err := generate()
	if err != nil {
		return 1, err
	}
	if *out != "" {
		if err := files.write(*out); err != nil {
			return 1, err
		}
	}
	if *list {
		writeList(stdout)
	}
	if *verify != "" {
		differences, err := files.compare(*verify)
		if err != nil {
			return 1, err
		}
		for _, d := range differences {
			fmt.Fprintln(stdout, d)
		}
		if len(differences) > 0 {
			return 1, fmt.Errorf("%d differences between the code and %s; write the files with: go run ./dashboards -out dashboards/json", len(differences), *verify)
		}
	}
	return 0, nil
}

func pageOf(uid string) page {
	for _, p := range dashboards {
		if p.UID == uid {
			return p
		}
	}
	panic("dashboards: no dashboard " + uid)
}

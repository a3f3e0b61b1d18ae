// Command peers uploads a file to the stub of S3 with another library: the same
// work as the SDK's upload.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func main() {
	log.SetFlags(0)
	how := flag.String("how", "", "minio or aws")
	target := flag.String("url", "", "the server")
	file := flag.String("file", "", "the image")
	parallel := flag.Int("parallel", 4, "parts under way at once")
	chunk := flag.Int64("chunk", 64<<20, "bytes of a part")
	sum := flag.String("sum", "none", "md5 (minio), crc32 (aws) or none")
	flag.Parse()
	var err error
	switch *how {
	case "minio":
		err = withMinio(*target, *file, *parallel, *chunk, *sum == "md5")
	case "aws":
		err = withAWS(*target, *file, *parallel, *chunk, *sum != "none")
	default:
		err = fmt.Errorf("unknown peer %q", *how)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func withMinio(target, file string, parallel int, chunk int64, sum bool) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	client, err := minio.New(u.Host, &minio.Options{
		// Without credentials nothing is signed: plain HTTP would else be hashed
		// with SHA-256 on top.
		Creds: credentials.NewStaticV4("", "", ""), Secure: u.Scheme == "https", Region: "us-east-1",
	})
	if err != nil {
		return err
	}
	_, err = client.FPutObject(context.Background(), "images", "image", file, minio.PutObjectOptions{
		PartSize: uint64(chunk), NumThreads: uint(parallel), SendContentMd5: sum, DisableContentSha256: true,
	})
	return err
}

func withAWS(target, file string, parallel int, chunk int64, sum bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(target), UsePathStyle: true, Region: "us-east-1", Credentials: aws.AnonymousCredentials{},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})
	manager := transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.Concurrency, o.MultipartUploadThreshold = chunk, parallel, chunk
		if sum {
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		} else {
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		}
	})
	_, err = manager.UploadObject(context.Background(), &transfermanager.UploadObjectInput{
		Bucket: aws.String("images"), Key: aws.String("image"), Body: f,
	})
	return err
}

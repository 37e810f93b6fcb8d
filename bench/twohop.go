package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	firstTopic, secondTopic = "twohop.first", "twohop.second"
	recordBytes             = 300
)

// twoHop is the limit of the design: nothing that goes to a log, is worked on by somebody who reads
// the log, and comes back through the log can be faster on this broker.
//
//	caller --produce--> first[p] --middle--> second[p] --last--> caller
//
// Settings are kafkalog's: all acknowledgements, idempotent, no linger, no compression, the same
// number of partitions and the same spread of the same keys over them. There is no group, no
// commit, no header and nothing to decode.
type twoHop struct {
	first, middle, last *kgo.Client
	stop                context.CancelFunc
	wg                  sync.WaitGroup
	// waiting callers, by the number that is in the record.
	waiting [maxCallers]chan struct{}
	failed  chan error
}

// newClient makes a client of the broker with kafkalog's settings.
func (b *bench) newClient(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.broker.Addr()),
		kgo.DisableClientMetrics(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, opts...)...)
}

func (b *bench) startTwoHop(ctx context.Context) (*twoHop, error) {
	h := &twoHop{failed: make(chan error, 1)}
	for i := range h.waiting {
		h.waiting[i] = make(chan struct{}, 1)
	}
	var err error
	if h.first, err = b.newClient(); err != nil {
		return nil, err // of the settings, as are the next two
	}
	// Before there are consumers: they would take their time to look for the topics again.
	if err := createTopics(ctx, h.first, firstTopic, secondTopic); err != nil {
		return nil, err
	}
	if h.middle, err = b.newClient(fromTheStart(firstTopic)); err != nil {
		return nil, err
	}
	if h.last, err = b.newClient(fromTheStart(secondTopic)); err != nil {
		return nil, err
	}
	starting := ctx
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	h.wg.Go(func() {
		h.follow(ctx, h.middle, func(r *kgo.Record) {
			h.middle.Produce(ctx, &kgo.Record{Topic: secondTopic, Partition: r.Partition, Key: r.Key, Value: r.Value}, h.produced)
		})
	})
	h.wg.Go(func() {
		h.follow(ctx, h.last, func(r *kgo.Record) { h.waiting[binary.BigEndian.Uint32(r.Value)] <- struct{}{} })
	})
	if err := h.callers(1)[0](starting); err != nil { // connections are made for the first record
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *twoHop) close() {
	h.stop()
	h.wg.Wait()
	for _, cl := range []*kgo.Client{h.first, h.middle, h.last} {
		cl.Close()
	}
}

// callers are n callers, each of which puts its number into its records.
func (h *twoHop) callers(n int) []call {
	callers := make([]call, n)
	for i := range callers {
		callers[i] = func(ctx context.Context) error {
			k := &keys[rand.IntN(len(keys))]
			value := make([]byte, recordBytes)
			binary.BigEndian.PutUint32(value, uint32(i))
			h.first.Produce(ctx, &kgo.Record{Topic: firstTopic, Partition: k.shard, Key: k.hash[:], Value: value}, h.produced)
			select {
			case <-h.waiting[i]:
				return nil
			case err := <-h.failed:
				return err
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return callers
}

func (h *twoHop) produced(_ *kgo.Record, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		h.fail(fmt.Errorf("producing: %w", err))
	}
}

func (h *twoHop) follow(ctx context.Context, cl *kgo.Client, each func(*kgo.Record)) {
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		if err := fetches.Err(); err != nil {
			h.fail(fmt.Errorf("consuming: %w", err))
			return
		}
		fetches.EachRecord(each)
	}
}

func (h *twoHop) fail(err error) {
	select {
	case h.failed <- err:
	default:
	}
}

func fromTheStart(topic string) kgo.Opt {
	offsets := make(map[int32]kgo.Offset, partitions)
	for p := range int32(partitions) {
		offsets[p] = kgo.NewOffset().At(0)
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
}

func createTopics(ctx context.Context, cl *kgo.Client, names ...string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range names {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, -1
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	for _, topic := range resp.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return fmt.Errorf("creating topic %s: %w", topic.Topic, err)
		}
	}
	return nil
}

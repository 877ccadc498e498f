// A pretend GPU for a CPU build of PyTorch.  Tensors say "cuda:0" and lie in ordinary memory; each kernel runs on
// the CPU, on mirrors of that memory.  What a GPU would refuse is refused in its words; what it would do is counted.
//
//   memory    has an end, and new memory holds NaN
//   kernels   tensors of two devices are refused; launches are counted by name
//   waiting   of the host is counted, refused on demand, and always refused while a graph is captured
//   copies    that are asked not to block arrive when somebody waits: too early a look sees garbage
//   graphs    record kernels, and run them again on the same memory
//
// Not simulated: speed, several streams, a GPU's rounding, kernels that a GPU lacks, Triton.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/Functions.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <set>

namespace {
using at::Tensor;
using c10::IValue;
using Action = std::function<void()>;
const c10::Device kGpu(c10::DeviceType::CUDA, 0);
const c10::DispatchKeySet kKeys(c10::DispatchKey::CUDA);

// --- the state of the card, and what it remembers ---------------------------------------------------------
struct Copy {
  uint64_t number;
  Action finish;
};
struct Graph {
  std::vector<Action> kernels;
  std::vector<Tensor> held;  // their memory
};
struct Card {
  std::recursive_mutex lock;  // backward passes run on a thread of their own
  int64_t total = int64_t{8} << 30, used = 0, peak = 0;
  std::map<std::string, int64_t> counts;  // "kernel NAME", "sync NAME", "memcpy NAME", ...
  bool refuses_syncs = false;
  void (*witness)(const char*) = nullptr;  // told of every sync and copy
  uint64_t copies = 0;
  std::list<Copy> due;
  Graph* capture = nullptr;
};
Card& card() {
  static auto* one = new Card;  // never destroyed: tensors may outlive it
  return *one;
}
using Lock = std::lock_guard<std::recursive_mutex>;

void note(const std::string& what, bool tell = true) {
  Lock lock(card().lock);
  ++card().counts[what];
  if (tell && card().witness) card().witness(what.c_str());
}

void finish_copies(uint64_t last = UINT64_MAX) {
  Lock lock(card().lock);
  auto& due = card().due;
  while (!due.empty() && due.front().number <= last) {
    const auto copy = std::move(due.front());
    due.pop_front();
    copy.finish();
  }
}

// The host waits for the GPU.  asked: by the program itself, which is always allowed.
void wait(const std::string& why, bool asked = false, uint64_t last = UINT64_MAX) {
  Lock lock(card().lock);
  TORCH_CHECK(!card().capture, "CUDA error: operation not permitted when stream is capturing (", why, ")");
  note("sync " + why);
  TORCH_CHECK(asked || !card().refuses_syncs, "called a synchronizing CUDA operation (", why, ")");
  finish_copies(last);
}

// Does what a kernel does, now and whenever the graph that is being captured is replayed.
void perform(const Action& action, std::initializer_list<Tensor> memory) {
  action();
  Lock lock(card().lock);
  if (!card().capture) return;
  card().capture->kernels.push_back(action);
  for (const auto& tensor : memory) card().capture->held.push_back(tensor);
}

// --- memory ------------------------------------------------------------------------------------------------
constexpr int64_t kHeader = 64;  // bytes before each block, which hold its size

void claim(int64_t size) {
  Lock lock(card().lock);
  TORCH_CHECK_WITH(OutOfMemoryError, card().used + size <= card().total, "CUDA out of memory. Tried to allocate ",
                   size / double(1 << 20), " MiB. GPU 0 has a total capacity of ", card().total / double(1 << 20),
                   " MiB of which ", (card().total - card().used) / double(1 << 20), " MiB is free.");
  card().used += size;
  card().peak = std::max(card().peak, card().used);
}
void release(int64_t size) {
  Lock lock(card().lock);
  card().used -= size;
}
void* block(size_t size, int fill) {
  auto* start = static_cast<char*>(std::aligned_alloc(kHeader, (size + 2 * kHeader - 1) / kHeader * kHeader));
  std::memcpy(start, &size, sizeof size);
  return std::memset(start + kHeader, fill, size);
}
void free_block(void* data) {
  if (data) std::free(static_cast<char*>(data) - kHeader);
}
struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    if (!size) return {nullptr, nullptr, &erase, kGpu};
    claim(size);
    void* data = block(size, 0xFF);  // NaN
    return {data, data, &erase, kGpu};
  }
  static void erase(void* data) {
    if (!data) return;
    size_t size = 0;
    std::memcpy(&size, static_cast<char*>(data) - kHeader, sizeof size);
    release(size);
    free_block(data);
  }
  c10::DeleterFnPtr raw_deleter() const override { return &erase; }
  void copy_data(void* to, const void* from, size_t size) const override { std::memcpy(to, from, size); }
};
Memory memory;

std::set<void*>& pinned_blocks() {
  static auto* blocks = new std::set<void*>;
  return *blocks;
}
struct Pinned final : c10::Allocator {  // of the host
  c10::DataPtr allocate(size_t size) override {
    Lock lock(card().lock);
    void* data = block(size, 0xFF);
    pinned_blocks().insert(data);
    return {data, data, &erase, c10::Device(at::kCPU)};
  }
  static void erase(void* data) {
    Lock lock(card().lock);
    pinned_blocks().erase(data);
    free_block(data);
  }
  c10::DeleterFnPtr raw_deleter() const override { return &erase; }
  void copy_data(void* to, const void* from, size_t size) const override { std::memcpy(to, from, size); }
};
Pinned pinned;

// --- the device, its events and its generator ----------------------------------------------------------------
struct Moment {
  uint64_t copies;  // begun before it
  std::chrono::steady_clock::time_point time;
};
struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr c10::DeviceType static_type = c10::DeviceType::CUDA;
  const c10::Stream stream{c10::Stream::DEFAULT, kGpu};
  c10::DeviceType type() const override { return static_type; }
  c10::Device exchangeDevice(c10::Device) const override { return kGpu; }
  c10::Device getDevice() const override { return kGpu; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Stream getStream(c10::Device) const override { return stream; }
  c10::Stream getDefaultStream(c10::Device) const override { return stream; }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override { return stream; }
  c10::Stream getNewStream(c10::Device, int) const override { return stream; }
  c10::Stream exchangeStream(c10::Stream) const override { return stream; }
  bool queryStream(const c10::Stream&) const override { return finish_copies(), true; }
  void synchronizeStream(const c10::Stream&) const override { wait("stream", true); }
  void synchronizeDevice(c10::DeviceIndex) const override { wait("device", true); }
  void record(void** event, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {
    Lock lock(card().lock);
    if (!*event) *event = new Moment;
    *static_cast<Moment*>(*event) = {card().copies, std::chrono::steady_clock::now()};
  }
  void block(void*, const c10::Stream&) const override {}  // there is one stream
  bool queryEvent(void* event) const override { return finish_copies(moment(event).copies), true; }
  void synchronizeEvent(void* event) const override { wait("event", true, moment(event).copies); }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override { delete static_cast<Moment*>(event); }
  double elapsedTime(void* first, void* last, c10::DeviceIndex) const override {
    return std::chrono::duration<double, std::milli>(moment(last).time - moment(first).time).count();
  }
  static Moment moment(void* event) { return event ? *static_cast<Moment*>(event) : Moment{}; }
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard);

struct Dice final : c10::GeneratorImpl {  // a seed and an offset: 16 bytes of state on the CPU, as CUDA's
  uint64_t numbers[2] = {c10::default_rng_seed_val, 0};
  Dice() : c10::GeneratorImpl(kGpu, kKeys) {}
  void set_current_seed(uint64_t seed) override { numbers[0] = seed, numbers[1] = 0; }
  uint64_t current_seed() const override { return numbers[0]; }
  uint64_t seed() override { return set_current_seed(c10::detail::getNonDeterministicRandom()), numbers[0]; }
  void set_offset(uint64_t offset) override { numbers[1] = offset; }
  uint64_t get_offset() const override { return numbers[1]; }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    auto state = at::empty({sizeof numbers}, at::dtype(at::kByte).device(at::kCPU));
    std::memcpy(state.mutable_data_ptr(), numbers, sizeof numbers);
    return state.getIntrusivePtr();
  }
  void set_state(const c10::TensorImpl& state) override {
    TORCH_CHECK(state.device().is_cpu() && state.dtype() == at::kByte, "RNG state must be a torch.ByteTensor");
    TORCH_CHECK(state.numel() == sizeof numbers, "RNG state is wrong size");
    std::memcpy(numbers, state.data(), sizeof numbers);
  }
  Dice* clone_impl() const override {
    auto* twin = new Dice;
    std::memcpy(twin->numbers, numbers, sizeof numbers);
    return twin;
  }
};

struct CUDAHooks final : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  int getNumGPUs() const override { return 1; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex current_device() const override { return 0; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::Allocator* getCUDADeviceAllocator() const override { return &memory; }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned; }
  bool isPinnedPtr(const void* data) const override {
    Lock lock(card().lock);
    auto next = pinned_blocks().upper_bound(const_cast<void*>(data));
    if (next == pinned_blocks().begin()) return false;
    const auto* start = static_cast<const char*>(*--next);
    size_t size = 0;
    std::memcpy(&size, start - kHeader, sizeof size);
    return data < start + std::max<size_t>(size, 1);
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static const auto* one = new at::Generator(at::make_generator<Dice>());
    return *one;
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::make_generator<Dice>(); }
  at::Device getDeviceFromPtr(void*) const override { return kGpu; }
};
}  // namespace
namespace at {
REGISTER_CUDA_HOOKS(CUDAHooks);
}

namespace {
// --- tensors on both sides ---------------------------------------------------------------------------------
// A CPU tensor with the memory of one of the GPU.
Tensor mirror(const Tensor& gpu) {
  const auto options = gpu.options().device(at::kCPU);
  if (!gpu.numel()) return at::empty_strided(gpu.sizes(), gpu.strides(), options);
  return at::for_blob(gpu.data_ptr(), gpu.sizes()).strides(gpu.strides()).options(options).make_tensor();
}

// A GPU tensor that takes over the memory of a fresh one of the CPU.
Tensor adopt(const Tensor& cpu) {
  if (!cpu.numel()) return at::detail::empty_strided_generic(cpu.sizes(), cpu.strides(), &memory, kKeys, cpu.scalar_type());
  const auto own = cpu.is_non_overlapping_and_dense() ? cpu : cpu.contiguous();
  const auto size = static_cast<int64_t>(own.nbytes());
  claim(size);
  return at::for_blob(own.data_ptr(), own.sizes()).strides(own.strides())
      .deleter([own, size](void*) { release(size); }).options(own.options().device(kGpu)).target_device(kGpu)
      .resizeable_storage().allocator(&memory).make_tensor();
}

// --- kernels -----------------------------------------------------------------------------------------------
using Names = std::set<std::string>;
const Names kWaiting{"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal",
                     "repeat_interleave", "bincount", "histc", "multinomial"};
const Names kIndexing{"index", "index_put", "index_put_", "_index_put_impl_"};
const Names kStrict{"mm", "addmm", "bmm", "baddbmm", "mv", "dot", "cat", "stack", "gather", "scatter", "index_select",
                    "convolution", "embedding", "searchsorted", "bucketize"};  // no number on the CPU either
const Names kUnstable{"index_add", "scatter_add", "scatter_reduce", "index_reduce", "bincount", "histc", "cumsum",
                      "kthvalue", "median", "put", "reflection_pad1d_backward", "reflection_pad2d_backward",
                      "reflection_pad3d_backward", "replication_pad1d_backward", "replication_pad2d_backward",
                      "upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward",
                      "grid_sampler_2d_backward", "adaptive_avg_pool2d_backward", "avg_pool3d_backward",
                      "max_pool2d_with_indices_backward", "nll_loss2d_forward"};  // CUDA adds in any order

class Kernel {
 public:
  Kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack)
      : op_(op), stack_(stack), count_(op.schema().arguments().size()), name_(op.schema().name()) {
    name_ = name_.substr(name_.find("::") + 2);
  }

  void launch() {
    check_devices();
    account();
    const auto first = stack_->end() - count_;
    for (auto value = first; value != stack_->end(); ++value) *value = to_cpu(*value);
    const std::vector<IValue> arguments(first, stack_->end());
    call(stack_);
    for (auto& [gpu, cpu] : pairs_)  // an empty output that was given a size
      if (!gpu.numel() && cpu.numel()) gpu.resize_(cpu.sizes()), mirror(gpu).copy_(cpu);
    const std::vector<IValue> results(stack_->end() - op_.schema().returns().size(), stack_->end());
    record(arguments, results);
    for (size_t i = 0; i < results.size(); ++i) *(stack_->end() - results.size() + i) = to_gpu(results[i]);
  }

 private:
  void check_devices() {
    auto look = [&](const Tensor& tensor, bool self) {
      if (!tensor.defined()) return;
      if (tensor.is_cuda()) gpu_ = true;
      else if (kIndexing.count(name_) && !self) cpu_index_ = true;
      else if (tensor.dim() || kStrict.count(name_)) cpu_ = true;
    };
    for (size_t i = 0; i < count_; ++i) visit(argument(i), [&](const Tensor& tensor) { look(tensor, i == 0); });
    TORCH_CHECK(!(gpu_ && cpu_), "Expected all tensors to be on the same device, but found at least two devices, "
                "cuda:0 and cpu! (when checking arguments of ", op_.schema().name(), ")");
  }

  void account() {
    const auto& returns = op_.schema().returns();
    const auto* info = returns.empty() ? nullptr : returns[0].alias_info();
    if ((info && !info->isWrite()) || name_ == "_unsafe_view") return;  // a view
    if (kWaiting.count(name_)) wait(name_);
    if (kIndexing.count(name_) && name_ != "index") {  // which asks for its waits before it comes here
      bool masks = false;
      visit(argument(1), [&](const Tensor& t) { masks |= t.scalar_type() == at::kBool || t.scalar_type() == at::kByte; });
      if (masks) wait(name_ + " by a mask");
      else if (cpu_index_) wait(name_ + " by indices on the CPU");
    }
    const auto plain = name_.back() == '_' ? name_.substr(0, name_.size() - 1) : name_;
    if (kUnstable.count(plain)) note("unstable " + plain);
    note("kernel " + name_, false);
  }

  // The same argument with GPU tensors replaced by mirrors.
  IValue to_cpu(const IValue& value) {
    auto turn = [&](const Tensor& tensor) {
      if (!tensor.defined() || !tensor.is_cuda()) return tensor;
      for (auto& [gpu, cpu] : pairs_)
        if (gpu.is_same(tensor)) return cpu;
      pairs_.emplace_back(tensor, mirror(tensor));
      return pairs_.back().second;
    };
    if (value.isDevice() && value.toDevice().is_cuda()) return c10::Device(at::kCPU);
    if (value.isGenerator()) return thrown(value.toGenerator());
    if (value.isTensor()) return turn(value.toTensor());
    if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector()) list.push_back(turn(tensor));
      return list;
    }
    bool holds = false;
    visit(value, [&](const Tensor&) { holds = true; });
    if (!value.isList() || !holds) return value;
    c10::List<std::optional<Tensor>> list;
    for (const IValue& item : value.toListRef())
      list.push_back(item.isTensor() ? std::optional<Tensor>(turn(item.toTensor())) : std::nullopt);
    return list;
  }

  // A generator of the CPU for one kernel, which depends on seed and offset.
  IValue thrown(at::Generator dice) {
    TORCH_CHECK(gpu_ == dice.device().is_cuda(), "Expected a '", gpu_ ? "cuda" : "cpu",
                "' device type for generator but found '", dice.device().type(), "'");
    TORCH_CHECK(!card().capture, "Attempt to capture a random kernel whose generator is not registered");
    const auto seed = dice.current_seed() * 0x9E3779B97F4A7C15ULL + dice.get_offset();
    dice.set_offset(dice.get_offset() + 4);
    return at::detail::createCPUGenerator(seed);
  }

  void call(torch::jit::Stack* stack) const {
    c10::impl::ExcludeDispatchKeyGuard below(c10::autograd_dispatch_keyset_with_ADInplaceOrView);
    op_.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  }

  void record(const std::vector<IValue>& arguments, const std::vector<IValue>& results) {
    Lock lock(card().lock);
    if (!card().capture) return;
    for (auto& pair : pairs_) card().capture->held.push_back(pair.first);
    card().capture->kernels.push_back([kernel = *this, arguments, results] {
      torch::jit::Stack stack(arguments);
      kernel.call(&stack);
      std::vector<Tensor> old, fresh;
      for (const auto& value : results) visit(value, [&](const Tensor& tensor) { old.push_back(tensor); });
      for (const auto& value : stack) visit(value, [&](const Tensor& tensor) { fresh.push_back(tensor); });
      for (size_t i = 0; i < old.size(); ++i)
        if (old[i].defined() && old[i].data_ptr() != fresh[i].data_ptr()) old[i].copy_(fresh[i]);
    });
  }

  IValue to_gpu(const IValue& value) {
    auto back = [&](const Tensor& result) {
      if (!result.defined() || result.is_cuda()) return result;
      for (auto& [gpu, cpu] : pairs_) {
        if (cpu.is_same(result)) return gpu;
        if (cpu.numel() && cpu.storage().is_alias_of(result.storage()) && cpu.dtype() == result.dtype())  // a view
          return at::native::as_strided_tensorimpl(gpu, result.sizes(), result.strides(),
                                                   gpu.storage_offset() + result.storage_offset());
      }
      return adopt(result);
    };
    if (value.isTensor()) return back(value.toTensor());
    if (!value.isTensorList()) return value;
    c10::List<Tensor> list;
    for (const Tensor& tensor : value.toTensorVector()) list.push_back(back(tensor));
    return list;
  }

  template <class Function>
  static void visit(const IValue& value, Function function) {
    if (value.isTensor()) function(value.toTensor());
    else if (value.isList())
      for (const IValue& item : value.toListRef())
        if (item.isTensor()) function(item.toTensor());
  }
  const IValue& argument(size_t i) const { return (*stack_)[stack_->size() - count_ + i]; }

  c10::OperatorHandle op_;
  torch::jit::Stack* stack_;
  size_t count_;
  std::string name_;
  std::vector<std::pair<Tensor, Tensor>> pairs_;  // of the GPU, and its mirror
  bool gpu_ = false, cpu_ = false, cpu_index_ = false;
};

void launch(const c10::OperatorHandle& op, torch::jit::Stack* stack) { Kernel(op, stack).launch(); }

// --- what is no kernel ---------------------------------------------------------------------------------------
Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, kKeys, c10::dtype_or_default(dtype), format);
}
Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &memory, kKeys, c10::dtype_or_default(dtype));
}
const Tensor& resize_(const Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat>) {
  const auto storage = self.storage();
  const auto bytes = (c10::multiply_integers(size) + self.storage_offset()) * self.itemsize();
  if (storage.nbytes() < static_cast<size_t>(bytes)) {
    auto larger = memory.allocate(bytes);
    if (storage.nbytes()) std::memcpy(larger.get(), storage.data(), storage.nbytes());
    storage.unsafeGetStorageImpl()->set_data_ptr(std::move(larger));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
  self.unsafeGetTensorImpl()->set_sizes_contiguous(size);
  return self;
}
at::Scalar number(const Tensor& self) {
  wait("item");
  return mirror(self).item();
}

// To be done when somebody waits; by then, a source in pinned memory must not have changed.
void put_off(const Action& finish) {
  Lock lock(card().lock);
  card().due.push_back({++card().copies, finish});
}
void to_host(const Tensor& host, const Tensor& from, bool unblocked) {
  note("copy to the host");
  if (!(unblocked && host.is_pinned())) {
    wait("copy to the host");
    host.copy_(mirror(from));
    return;
  }
  TORCH_CHECK(!card().capture, "a captured copy to the host is not simulated");
  const auto sent = mirror(from).clone();
  if (host.is_contiguous()) std::memset(host.data_ptr(), 0xFF, host.nbytes());
  put_off([host, sent] { host.copy_(sent); });
}
void to_gpu(const Tensor& to, const Tensor& host, bool unblocked) {
  note("copy to the GPU");
  if (!unblocked) wait("copy to the GPU");
  const bool kept = unblocked && host.is_pinned();
  TORCH_CHECK(kept || !card().capture, "CUDA error: operation not permitted when stream is capturing (copy to the GPU)");
  perform([to = mirror(to), host] { to.copy_(host); }, {to});
  if (kept)
    put_off([host, sent = host.clone()] {
      TORCH_CHECK(std::memcmp(host.data_ptr(), sent.data_ptr(), host.is_contiguous() ? host.nbytes() : 0) == 0,
                  "pinned memory was changed while it was being copied to the GPU");
    });
}
Tensor& copy_(Tensor& self, const Tensor& from, bool unblocked) {
  if (!self.is_cuda()) to_host(self, from, unblocked);
  else if (!from.is_cuda()) to_gpu(self, from, unblocked);
  else {
    const bool alike = self.dtype() == from.dtype() && self.sizes() == from.sizes() &&
                       self.strides() == from.strides() && self.is_non_overlapping_and_dense();
    note(alike ? "memcpy copy_" : "kernel copy_", false);
    perform([to = mirror(self), from = mirror(from)] { to.copy_(from); }, {self, from});
  }
  return self;
}
Tensor copy_from_and_resize(const Tensor& self, const Tensor& to) {
  if (!to.sizes().equals(self.sizes())) to.resize_(self.sizes());
  auto target = to;
  return copy_(target, self, false);
}
void record_stream(Tensor&, at::Stream) {}
}  // namespace

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&launch>()); }
TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  for (const auto* name : {"convolution", "convolution_backward"})  // made of kernels that a CPU build lacks
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&launch>());
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames())  // one kernel for many tensors
    if (name.name.rfind("aten::_foreach_", 0) == 0 && name.name != "aten::_foreach_copy_") {
      const auto full = name.name.substr(6) + (name.overload_name.empty() ? "" : "." + name.overload_name);
      m.impl(full.c_str(), torch::CppFunction::makeFromBoxedFunction<&launch>());
    }
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("resize_", resize_);
  m.impl("copy_", copy_);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", number);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("set_.source_Tensor", at::native::set_tensor_);
  m.impl("set_.source_Storage_storage_offset", at::native::set_storage_cpu_);
  m.impl("record_stream", record_stream);
}

// --- for Python, see `card.py` -------------------------------------------------------------------------------
extern "C" {
const char* pretend_counts() {  // a line for each: its number, a space, its name
  Lock lock(card().lock);
  static std::string text;
  text.clear();
  for (const auto& [name, count] : card().counts) text += std::to_string(count) + " " + name + "\n";
  return text.c_str();
}
void pretend_witness(void (*witness)(const char*)) { card().witness = witness; }
void pretend_refuse_syncs(int on) { card().refuses_syncs = on; }
void pretend_memory(int64_t* used_peak_total) {
  used_peak_total[0] = card().used, used_peak_total[1] = card().peak, used_peak_total[2] = card().total;
}
void pretend_limit(int64_t total) { card().total = total, card().peak = card().used; }
int pretend_capturing() { return card().capture != nullptr; }
void* pretend_capture() { return card().capture = new Graph; }
void pretend_captured() { card().capture = nullptr; }
const char* pretend_replay(void* graph) try {  // what went wrong, if anything
  at::NoGradGuard no_grad;
  note("kernel graph", false);
  for (const auto& kernel : static_cast<Graph*>(graph)->kernels) kernel();
  return nullptr;
} catch (const std::exception& error) {
  static std::string text;
  return (text = error.what()).c_str();
}
void pretend_forget(void* graph) { delete static_cast<Graph*>(graph); }
}
